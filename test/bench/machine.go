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

// ticksPerSecond is the unit of CPU times in /proc: USER_HZ, which is 100 on all platforms that
// Go supports.
const ticksPerSecond = 100

// cpuSeconds returns the user and system CPU time of a process so far.
func cpuSeconds(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU times, which takes Linux: %w", err)
	}
	return parseCPU(string(text))
}

// parseCPU reads the CPU times from /proc/PID/stat. The second field is the name in parentheses,
// which may contain any character.
func parseCPU(stat string) (float64, error) {
	const user, system = 11, 12 // fields after the name
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("reading CPU times: %q is too short", stat)
	}
	total := 0
	for _, field := range []int{user, system} {
		ticks, err := strconv.Atoi(fields[field])
		if err != nil {
			return 0, fmt.Errorf("reading CPU times: %w", err)
		}
		total += ticks
	}
	return float64(total) / ticksPerSecond, nil
}

// memory is the current and the peak resident memory of a process in bytes. resetPeak resets the
// peak.
type memory struct{ resident, peak float64 }

func memoryOf(pid int) (memory, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	var m memory
	for name, into := range map[string]*float64{"VmRSS": &m.resident, "VmHWM": &m.peak} {
		value := valueIn(file, name)
		kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(value, " kB"), 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading %s from %s, which takes Linux: %w", name, file, err)
		}
		*into = kilobytes * 1024
	}
	return m, nil
}

// resetPeak sets the peak of a process to its current memory.
func resetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak of the memory, which takes Linux: %w", err)
	}
	return nil
}
