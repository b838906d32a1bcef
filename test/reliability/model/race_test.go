//go:build reliability && race

package model_test

// Where the figures go.
const (
	figuresFile  = "11-model-race"
	figuresTitle = "The model, with the race detector"
)
