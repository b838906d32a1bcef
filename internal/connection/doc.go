// Package connection connects PipesEnvironments to WorkOS. It reads their API keys, decides which
// base URLs a key may be sent to, makes a client for each PipesEnvironment, and keeps what the
// answers of WorkOS show about the key, the clock and the availability of WorkOS.
package connection
