package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of CPU times in /proc: USER_HZ, which is 100 on every platform that Go runs on.
const ticksPerSecond = 100

// cpuSeconds is what a process has used of the CPU so far, as user and in the kernel.
func cpuSeconds(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU times, which takes Linux: %w", err)
	}
	return parseCPU(string(text))
}

// parseCPU reads the CPU times from /proc/PID/stat. The second field, the name in parentheses, may have anything in it.
func parseCPU(stat string) (float64, error) {
	const user, system = 11, 12 // counted from after the name
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

// memory is what a process has in memory, and the most that it has had since its peak was reset, in bytes.
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

// resetPeak makes the peak of a process start anew.
func resetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak of the memory, which takes Linux: %w", err)
	}
	return nil
}
