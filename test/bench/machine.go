package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine is what the figures were measured on, and of what.
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
		CPU: valueIn("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: inGibibytes(valueIn("/proc/meminfo", "MemTotal")),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Commit: version,
	}
}

// valueIn is the first value of a name in one of the kernel's lists; "unknown" where there is none.
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

// inGibibytes turns what the kernel says, "24684084 kB", into what people do.
func inGibibytes(memory string) string {
	kilobytes, err := strconv.Atoi(strings.TrimSuffix(memory, " kB"))
	if err != nil {
		return memory
	}
	return fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
}
