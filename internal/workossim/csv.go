package workossim

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"time"
)

// controlJournal answers GET journal.
func (s *Simulator) controlJournal(w http.ResponseWriter, _ *http.Request) {
	requests := s.Requests()
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	writeJournal(csv.NewWriter(w), requests)
}

// writeJournal writes the requests in the order in which they were decided. Times are RFC 3339
// in UTC with their fraction. The last column is empty if the answer has no token, or a token
// without an expiry.
func writeJournal(w *csv.Writer, requests []Request) {
	// Writes fail if the connection of the caller fails. The error then cannot be reported to
	// the caller.
	_ = w.Write([]string{"time", "slug", "userID", "organizationID", "status", "result", "tokenSerial", "tokenExpiresAt"})
	for _, r := range requests {
		expires := ""
		if !r.TokenExpiresAt.IsZero() {
			expires = r.TokenExpiresAt.UTC().Format(time.RFC3339Nano)
		}
		_ = w.Write([]string{
			r.Time.UTC().Format(time.RFC3339Nano), r.Slug, r.UserID, r.OrganizationID,
			strconv.Itoa(r.Status), r.Result, strconv.Itoa(r.TokenSerial), expires,
		})
	}
	w.Flush()
}
