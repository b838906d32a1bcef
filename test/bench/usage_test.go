package main

import (
	"os"
	"testing"
)

func TestCPUTimesAreFoundAfterAnyName(t *testing.T) {
	got, err := parseCPU("123 (a name) with ) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0")
	if err != nil || got != 1.75 {
		t.Errorf("got %g, %v", got, err)
	}
	if _, err := parseCPU("123 (name) R 1 2"); err == nil {
		t.Error("no error for one that is too short")
	}
}

func TestThisProcessUsesMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here")
	}
	got, err := memoryOf(os.Getpid())
	if err != nil || got.resident < 1<<20 || got.peak < got.resident/2 {
		t.Errorf("got %+v, %v", got, err)
	}
}
