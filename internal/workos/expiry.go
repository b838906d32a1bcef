package workos

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// zone is the offset of an instant. An instant without an offset is in UTC.
const zone = `(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?`

var (
	extendedForm = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)` +
		`(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?` + zone + `)?$`)
	basicForm = regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(?:(\d\d)(?:[.,](\d+))?)?` + zone + `$`)
)

var (
	errNoInstant    = errors.New("not a date and time in ISO 8601")
	errImplausible  = errors.New("not a time of this era")
	nanosecondScale = len("000000000")
)

// parseExpiry reads an instant in ISO 8601. WorkOS documents an "ISO-8601 formatted timestamp",
// which allows more than RFC 3339. These forms are accepted:
//
//   - extended, 2026-11-29T20:00:00.250+02:00, and basic, 20261129T200000.250+0200;
//   - seconds and their fraction may be absent; the fraction may follow a comma; digits beyond
//     nanoseconds are dropped;
//   - T and Z may be in lower case, and the extended form may have a space in place of T;
//   - the offset is Z, +hh:mm, +hhmm or +hh; without an offset the instant is in UTC;
//   - a date alone, in the extended form, is the start of that day in UTC: too early rather
//     than too late.
//
// Weeks, days of the year, intervals, leap seconds and 24:00 are refused. Instants up to
// 1970-01-01T00:00:00Z are refused, because year 1 and the start of 1970 stand for "unset".
// Years that RFC 3339 cannot write in UTC are refused, too. An instant in the past is accepted:
// the caller decides how to treat it.
func parseExpiry(text string) (time.Time, error) {
	fields := extendedForm.FindStringSubmatch(text)
	if fields == nil {
		fields = basicForm.FindStringSubmatch(text)
	}
	if fields == nil {
		return time.Time{}, errNoInstant
	}
	n := func(field int) int {
		value, _ := strconv.Atoi(fields[field]) // digits only, or absent
		return value
	}
	year, month, day := n(1), time.Month(n(2)), n(3)
	hour, minute, second := n(4), n(5), n(6)
	fraction := (fields[7] + strings.Repeat("0", nanosecondScale))[:nanosecondScale]
	nanoseconds, _ := strconv.Atoi(fraction)
	if hour > 23 || minute > 59 || second > 59 || n(9) > 23 || n(10) > 59 {
		return time.Time{}, errNoInstant
	}
	local := time.Date(year, month, day, hour, minute, second, nanoseconds, time.UTC)
	if local.Month() != month || local.Day() != day {
		return time.Time{}, errNoInstant // This day does not exist.
	}
	offset := time.Duration(n(9))*time.Hour + time.Duration(n(10))*time.Minute
	if fields[8] == "-" {
		offset = -offset
	}
	instant := local.Add(-offset)
	if instant.Unix() <= 0 || instant.Year() > 9999 {
		return time.Time{}, errImplausible
	}
	return instant, nil
}
