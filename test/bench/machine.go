package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine describes the machine and the version of the code that was measured.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   string `json:"memory"`
	Platform string `json:"platform"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`
}

func thisMachine() machine {
	return machine{
		CPU:      valueIn("/proc/cpuinfo", "model name"),
		Cores:    runtime.NumCPU(),
		Memory:   inGibibytes(valueIn("/proc/meminfo", "MemTotal")),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Go:       runtime.Version(),
		Commit:   version,
	}
}

// valueIn returns the first value of a name in a kernel file of key-value lines, or "unknown".
func valueIn(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// inGibibytes converts a value of the kernel, such as "24684084 kB", to GiB.
func inGibibytes(memory string) string {
	kilobytes, err := strconv.Atoi(strings.TrimSuffix(memory, " kB"))
	if err != nil {
		return memory
	}
	return fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
}
