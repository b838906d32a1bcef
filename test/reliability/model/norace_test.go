//go:build reliability && !race

package model_test

// Where the figures go.
const (
	figuresFile  = "10-model"
	figuresTitle = "The model: random sequences of what can happen"
)
