package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// published is a database of three modules, two of which share an entry.
var published = map[string]string{
	"/index/db.json": `{"modified":"2026-08-21T20:38:00Z"}`,
	"/index/modules.json": `[{"path":"example.com/a","vulns":[{"id":"GO-1"},{"id":"GO-2"}]},{"path":"example.com/b","vulns":[{"id":"GO-2"}]},` +
		`{"path":"example.com/c","vulns":[{"id":"GO-3"}]}]`,
	"/ID/GO-1.json": `{"id":"GO-1","details":"prose","affected":[{"package":{"name":"example.com/a"},"ranges":[{"type":"SEMVER"}]}]}`,
	"/ID/GO-2.json": `{"id":"GO-2","affected":[{"package":{"name":"example.com/a"}},{"package":{"name":"example.com/b"},"ecosystem_specific":{"imports":[]}}]}`,
}

func TestASnapshotIsADatabaseOfTheModulesInUse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := published[r.URL.Path]; ok {
			_, _ = w.Write([]byte(text))
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	folder, unpacked := t.TempDir(), t.TempDir()

	made, err := (&database{url: server.URL}).snapshot(t.Context(), []string{"example.com/a", "example.com/b", "stdlib"})
	if err != nil {
		t.Fatal(err)
	}
	if err := made.write(folder); err != nil {
		t.Fatal(err)
	}
	if err := unpack(folder, unpacked, []string{"example.com/a", "example.com/new"}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"index/db.json":      `"modified": "2026-08-21T20:38:00Z"`,
		"index/modules.json": `"path": "example.com/b"`,
		"ID/GO-1.json":       `"type": "SEMVER"`,
		"ID/GO-2.json":       `"imports": []`,
	} {
		text, err := os.ReadFile(filepath.Join(unpacked, file))
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "prose") {
			t.Errorf("%s: %v, %s", file, err, text)
		}
	}
	// Of this one the database has an entry, and the snapshot has not.
	if err := unpack(folder, unpacked, []string{"example.com/c"}); err == nil || !strings.Contains(err.Error(), "example.com/c") {
		t.Errorf("got %v", err)
	}
}

func TestAHalfReadDatabaseMakesNoSnapshot(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := (&database{url: server.URL}).snapshot(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	if _, err := read(t.TempDir()); err == nil {
		t.Error("no error for a snapshot that is not there")
	}
}
