package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// row is a line of the table: a PipesToken at one instant, with the columns of `kubectl get
// pipestokens`.
type row struct {
	name, slug, ready, reason, expires string
	age                                time.Duration
}

// tableWidths fit the longest name of the samples and the longest reason. A longer value moves
// the rest of its line to the right.
var tableWidths = []int{14, 8, 9, 21, 22}

func rowOf(token *v1alpha1.PipesToken, now time.Time) row {
	r := row{name: token.Name, slug: token.Spec.Slug, age: now.Sub(token.CreationTimestamp.Time)}
	if ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		r.ready, r.reason = string(ready.Status), ready.Reason
	}
	if expires := token.Status.ExpirationTime; expires != nil {
		r.expires = expires.UTC().Format(time.RFC3339)
	}
	return r
}

// same reports whether two rows are equal except for their age.
func (r row) same(other row) bool {
	r.age = other.age
	return r == other
}

func (r row) cells() []string {
	return []string{r.name, r.slug, r.ready, r.reason, r.expires, duration.HumanDuration(max(0, r.age))}
}

// readyColour returns the colour of the READY column.
func (r row) readyColour() string {
	switch metav1.ConditionStatus(r.ready) {
	case metav1.ConditionTrue:
		return green
	case metav1.ConditionFalse:
		return red
	default:
		return yellow
	}
}

// tableHeader writes the header of the table.
func (c *console) tableHeader() {
	c.printf("%s%s\n", indent, c.paint(bold, align([]string{"NAME", "SLUG", "READY", "REASON", "EXPIRES", "AGE"}, nil)))
}

// tableRow writes a row of the table.
func (c *console) tableRow(r row) {
	c.printf("%s%s\n", indent, align(r.cells(), func(column int, padded string) string {
		if column != 2 {
			return padded
		}
		return c.paint(r.readyColour(), padded)
	}))
}

// align puts cells into columns. It calls paint, if given, on each padded cell.
func align(cells []string, paint func(column int, padded string) string) string {
	var line strings.Builder
	for i, cell := range cells {
		if i < len(tableWidths) {
			// Keep at least one space between two cells.
			cell = fmt.Sprintf("%-*s ", tableWidths[i]-1, cell)
		}
		if paint != nil {
			cell = paint(i, cell)
		}
		line.WriteString(cell)
	}
	return strings.TrimRight(line.String(), " ")
}

// journalTable formats the requests to WorkOS as a table, for the given connections or for all.
func journalTable(requests []workossim.Request, of ...sample) string {
	var text strings.Builder
	const format = "%-10s%-9s%-14s%-8s%-23s%s\n"
	fmt.Fprintf(&text, format, "TIME", "SLUG", "USER", "STATUS", "RESULT", "TOKEN")
	for _, r := range requests {
		if len(of) > 0 && !slices.ContainsFunc(of, func(s sample) bool { return s.id == r.ID }) {
			continue
		}
		token := ""
		if r.TokenSerial > 0 {
			token = "number " + strconv.Itoa(r.TokenSerial)
		}
		fmt.Fprintf(&text, format, r.Time.UTC().Format(time.TimeOnly), r.Slug, r.UserID,
			strconv.Itoa(r.Status), r.Result, token)
	}
	return text.String()
}
