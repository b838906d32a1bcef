package process

import (
	"slices"
	"sync"
)

// Fleet is the list of programs that should be running.
type Fleet struct {
	mu      sync.Mutex
	members []*Process
}

// Add adds a program that has been started.
func (f *Fleet) Add(p *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, p)
}

// Remove removes a program that is about to be stopped, so that Dead does not report it.
func (f *Fleet) Remove(gone *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = slices.DeleteFunc(f.members, func(p *Process) bool { return p == gone })
}

// All returns the members in the order in which they were added.
func (f *Fleet) All() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.members)
}

// Dead returns the error of the first program that has ended, or nil.
func (f *Fleet) Dead() error {
	for _, p := range f.All() {
		if err := p.Dead(); err != nil {
			return err
		}
	}
	return nil
}
