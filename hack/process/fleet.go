package process

import (
	"slices"
	"sync"
)

// Fleet are the programs that should be running.
type Fleet struct {
	mu      sync.Mutex
	members []*Process
}

// Add is called with a program that has been started.
func (f *Fleet) Add(p *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, p)
}

// Remove is called with a program that is to end.
func (f *Fleet) Remove(gone *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = slices.DeleteFunc(f.members, func(p *Process) bool { return p == gone })
}

// All are the members, in the order in which they were started.
func (f *Fleet) All() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.members)
}

// Dead is the error of the first program that has ended.
func (f *Fleet) Dead() error {
	for _, p := range f.All() {
		if err := p.Dead(); err != nil {
			return err
		}
	}
	return nil
}
