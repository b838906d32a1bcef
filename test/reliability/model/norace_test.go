//go:build reliability && !race

package model_test

// The file and the title of the recorded figures.
const (
	figuresFile  = "10-model"
	figuresTitle = "The model: random sequences of what can happen"
)
