//go:build reliability && race

package model_test

func init() { figuresFile, figuresTitle = "11-model-race", "The model, with the race detector" }
