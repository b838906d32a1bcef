package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// license is what the entries are under.
const license = "The entries are those of the Go vulnerability database (https://go.dev/security/vuln/database), " +
	"without details and references, under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)."

// Files of a snapshot.
const (
	headerFile  = "database.json"
	entriesFile = "entries.jsonl"
)

// header is what a database says of itself.
type header struct {
	// Modified is when the newest of its entries was changed last.
	Modified time.Time `json:"modified"`
}

type snapshot struct {
	header
	License string `json:"license"`
	// Covered are the modules whose entries the snapshot has, and Others those that the database has entries of besides.
	Covered []string `json:"covered"`
	Others  []string `json:"others"`

	entries []entry
}

// entry is one vulnerability, without the prose: https://ossf.github.io/osv-schema.
type entry struct {
	SchemaVersion string          `json:"schema_version,omitempty"`
	ID            string          `json:"id"`
	Modified      time.Time       `json:"modified"`
	Published     time.Time       `json:"published,omitzero"`
	Withdrawn     *time.Time      `json:"withdrawn,omitempty"`
	Aliases       []string        `json:"aliases,omitempty"`
	Summary       string          `json:"summary,omitempty"`
	Affected      []affected      `json:"affected"`
	Specific      json.RawMessage `json:"database_specific,omitempty"`
}

type affected struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Ranges   json.RawMessage `json:"ranges,omitempty"`
	Specific json.RawMessage `json:"ecosystem_specific,omitempty"`
}

// indexed is a module in a database's index.
type indexed struct {
	Path  string       `json:"path"`
	Vulns []indexEntry `json:"vulns"`
}

type indexEntry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

// write keeps the snapshot, one entry on a line, so that a new one can be read as a difference.
func (s *snapshot) write(folder string) error {
	var entries bytes.Buffer
	for _, e := range s.entries {
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("%s: %w", e.ID, err)
		}
		entries.Write(append(text, '\n'))
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, entriesFile), entries.Bytes(), 0o644); err != nil {
		return err
	}
	return writeJSON(filepath.Join(folder, headerFile), s)
}

func read(folder string) (*snapshot, error) {
	text, err := os.ReadFile(filepath.Join(folder, headerFile))
	if err != nil {
		return nil, err
	}
	s := &snapshot{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w", headerFile, err)
	}
	file, err := os.Open(filepath.Join(folder, entriesFile))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read from
	for decoder := json.NewDecoder(bufio.NewReader(file)); decoder.More(); {
		var e entry
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("%s: %w", entriesFile, err)
		}
		s.entries = append(s.entries, e)
	}
	if len(s.entries) == 0 || s.Modified.IsZero() {
		return nil, fmt.Errorf("%s holds no snapshot", folder)
	}
	return s, nil
}

// unpack writes the snapshot as a database.
func (s *snapshot) unpack(to string) error {
	for _, folder := range []string{"index", "ID"} {
		if err := os.MkdirAll(filepath.Join(to, folder), 0o755); err != nil {
			return err
		}
	}
	byModule := map[string]*indexed{}
	modules := []*indexed{}
	for _, e := range s.entries {
		if err := writeJSON(filepath.Join(to, "ID", e.ID+".json"), e); err != nil {
			return err
		}
		for _, a := range e.Affected {
			module := byModule[a.Package.Name]
			if module == nil {
				module = &indexed{Path: a.Package.Name}
				byModule[module.Path], modules = module, append(modules, module)
			}
			module.Vulns = append(module.Vulns, indexEntry{ID: e.ID, Modified: e.Modified})
		}
	}
	if err := writeJSON(filepath.Join(to, "index", "modules.json"), modules); err != nil {
		return err
	}
	return writeJSON(filepath.Join(to, "index", "db.json"), s.header)
}

func writeJSON(file string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
