// Vuln keeps a snapshot of the Go vulnerability database for machines that cannot reach it: of all entries that concern a module
// in go.mod's build list, what govulncheck reads of them. hack/vuln.sh says when it is used.
//
//	go list -m -f '{{.Path}}' all | vuln update     makes it anew from the database
//	go list -m -f '{{.Path}}' all | vuln unpack DIR writes it to DIR as a database for govulncheck, and prints its date
//
// A module that was added since the snapshot was made, and of which the database then had entries, makes unpack fail: the snapshot
// does not have them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// folder is where the snapshot is, in the repository.
const folder = "hack/vuln/snapshot"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "vuln: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("vuln update|unpack DIR", flag.ContinueOnError)
	from := flags.String("from", "https://vuln.go.dev", "the database to make the snapshot from")
	if len(args) == 0 {
		return errors.New("say update, or unpack DIR")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	modules, err := lines(os.Stdin)
	if err != nil {
		return fmt.Errorf("reading the modules: %w", err)
	}
	// These are in no go.mod, and in every program.
	modules = append(modules, "stdlib", "toolchain")
	switch {
	case args[0] == "update" && flags.NArg() == 0:
		return update(ctx, &database{url: strings.TrimSuffix(*from, "/")}, modules)
	case args[0] == "unpack" && flags.NArg() == 1:
		return unpack(folder, flags.Arg(0), modules)
	}
	return errors.New("say update, or unpack DIR")
}

func lines(r io.Reader) ([]string, error) {
	var all []string
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	return all, scanner.Err()
}

func update(ctx context.Context, from *database, modules []string) error {
	snapshot, err := from.snapshot(ctx, modules)
	if err != nil {
		return err
	}
	if err := snapshot.write(folder); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vuln: %d entries of %d modules, as of %s\n", len(snapshot.entries), len(snapshot.Covered), snapshot.Modified.Format(time.DateOnly))
	return nil
}

func unpack(folder, to string, modules []string) error {
	snapshot, err := read(folder)
	if err != nil {
		return err
	}
	var unknown []string
	for _, module := range modules {
		if slices.Contains(snapshot.Others, module) {
			unknown = append(unknown, module)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the snapshot of %s lacks the entries of %s: make it anew where the database can be reached (make vuln-snapshot)",
			snapshot.Modified.Format(time.DateOnly), strings.Join(unknown, ", "))
	}
	if err := snapshot.unpack(to); err != nil {
		return err
	}
	fmt.Println(snapshot.Modified.Format(time.DateOnly))
	return nil
}

// database is one in the form that https://go.dev/doc/security/vuln/database describes.
type database struct{ url string }

// snapshot takes from the database what concerns the modules.
func (d *database) snapshot(ctx context.Context, modules []string) (*snapshot, error) {
	made := &snapshot{License: license}
	var index []indexed
	if err := d.get(ctx, "index/db", &made.header); err != nil {
		return nil, err
	}
	if err := d.get(ctx, "index/modules", &index); err != nil {
		return nil, err
	}
	var ids []string
	for _, module := range index {
		if !slices.Contains(modules, module.Path) {
			made.Others = append(made.Others, module.Path)
			continue
		}
		made.Covered = append(made.Covered, module.Path)
		for _, v := range module.Vulns {
			ids = append(ids, v.ID)
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		var e entry
		if err := d.get(ctx, "ID/"+id, &e); err != nil {
			return nil, err
		}
		made.entries = append(made.entries, e)
	}
	return made, nil
}

func (d *database) get(ctx context.Context, endpoint string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/"+endpoint+".json", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", request.URL, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", request.URL, err)
	}
	return nil
}
