package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/dump"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

const secret = "canary-5up3r-s3cr3t"

// holder holds Strings in all the ways in which printers find them.
type holder struct {
	Exported redact.String
	hidden   redact.String
	pointer  *redact.String
	Slice    []redact.String
	byName   map[string]redact.String
	any      any
}

func subjects() map[string]any {
	s := redact.NewString(secret)
	h := holder{
		Exported: s, hidden: s, pointer: &s, Slice: []redact.String{s}, byName: map[string]redact.String{"a": s}, any: s,
	}
	return map[string]any{
		"value": s, "pointer": &s, "slice": []redact.String{s}, "map": map[string]any{"key": s},
		"struct": h, "pointer to struct": &h, "wrapped": fmt.Errorf("asking with %v: %w", s, errors.New("no")),
	}
}

func TestNoPrinterShowsTheText(t *testing.T) {
	for name, subject := range subjects() {
		t.Run(name, func(t *testing.T) {
			for printer, text := range printed(t, subject) {
				for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprintf("%x", secret)} {
					if strings.Contains(text, form) {
						t.Errorf("%s shows the text: %s", printer, text)
					}
				}
			}
		})
	}
}

func printed(t *testing.T, subject any) map[string]string {
	t.Helper()
	texts := map[string]string{
		"fmt.Sprint": fmt.Sprint(subject),
		"dump":       dump.Pretty(subject),
	}
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %p %T %b %o %c %U %e %20v %-20s %.3s") {
		texts[verb] = fmt.Sprintf(verb, subject)
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(subject); err != nil {
		t.Fatal(err)
	}
	texts["json"] = out.String()
	out.Reset()
	_ = xml.NewEncoder(&out).Encode(subject)
	texts["xml"] = out.String()
	out.Reset()
	slog.New(slog.NewJSONHandler(&out, nil)).Info("a", "subject", subject)
	slog.New(slog.NewTextHandler(&out, nil)).Info("a", "subject", subject)
	texts["slog"] = out.String()
	out.Reset()
	write := func(_, args string) { out.WriteString(args) }
	funcr.New(write, funcr.Options{}).Info("a", "subject", subject)
	funcr.NewJSON(func(line string) { write("", line) }, funcr.Options{}).Info("a", "subject", subject)
	texts["logr"] = out.String()
	return texts
}

func TestPrintersShowThePlaceholder(t *testing.T) {
	s := redact.NewString(secret)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%q", s), fmt.Sprintf("%#v", s), s.String(), s.GoString()} {
		if text != "[redacted]" {
			t.Errorf("got %q, want [redacted]", text)
		}
	}
	if text, err := json.Marshal(map[string]any{"a": s}); err != nil || string(text) != `{"a":"[redacted]"}` {
		t.Errorf("got %s, %v", text, err)
	}
}

// The Go runtime prints a panic that is not recovered. This test runs itself again in another
// process to check that output.
func TestPanicsDoNotShowTheText(t *testing.T) {
	if os.Getenv("REDACT_TEST_PANIC") != "" {
		panic(redact.NewString(secret))
	}
	command := exec.Command(os.Args[0], "-test.run=^TestPanicsDoNotShowTheText$")
	command.Env = append(os.Environ(), "REDACT_TEST_PANIC=1", "GOTRACEBACK=all")
	out, err := command.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("panic: ")) {
		t.Fatalf("no panic: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte(secret)) {
		t.Errorf("the panic shows the text:\n%s", out)
	}
}

func TestRevealReturnsTheText(t *testing.T) {
	for _, text := range []string{"", "a", secret, "with\x00all\nsorts"} {
		s := redact.NewString(text)
		if got := s.Reveal(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

func TestZeroStringIsEmpty(t *testing.T) {
	var zero redact.String
	if zero.Reveal() != "" {
		t.Error("the zero String is not the empty text")
	}
	if zero.String() != "[redacted]" {
		t.Error("the zero String tells that it is empty")
	}
}
