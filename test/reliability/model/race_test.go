//go:build reliability && race

package model_test

// The file and the title of the recorded figures.
const (
	figuresFile  = "11-model-race"
	figuresTitle = "The model, with the race detector"
)
