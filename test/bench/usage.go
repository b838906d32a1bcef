package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

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
