package workos

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// zone of an instant: none is UTC.
const zone = `(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?`

var (
	extendedForm = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?` + zone + `)?$`)
	basicForm    = regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(?:(\d\d)(?:[.,](\d+))?)?` + zone + `$`)
)

var (
	errNoInstant    = errors.New("not a date and time in ISO 8601")
	errImplausible  = errors.New("not a time of this era")
	nanosecondScale = len("000000000")
)

// parseExpiry reads an instant in ISO 8601. WorkOS documents "ISO-8601 formatted timestamp", which is wider than RFC 3339.
// These forms are read:
//
//   - extended, 2026-11-29T20:00:00.250+02:00, and basic, 20261129T200000.250+0200;
//   - seconds and their fraction may be left out; the fraction may follow a comma; digits after nanoseconds are dropped;
//   - T and Z may be in lower case, and in the extended form a space may stand for T;
//   - the offset is Z, +hh:mm, +hhmm or +hh, and UTC when there is none;
//   - a date alone, in the extended form, is the start of that day in UTC: too early rather than too late.
//
// Weeks, days of the year, intervals, leap seconds and 24:00 are refused, and so are the years that stand for "unset" (0001,
// 1970) and those that RFC 3339 cannot write in UTC. An instant that has passed is a good one: what to do about it is the
// caller's.
func parseExpiry(text string) (time.Time, error) {
	fields := extendedForm.FindStringSubmatch(text)
	if fields == nil {
		fields = basicForm.FindStringSubmatch(text)
	}
	if fields == nil {
		return time.Time{}, errNoInstant
	}
	n := func(field int) int {
		value, _ := strconv.Atoi(fields[field]) // digits, or left out
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
		return time.Time{}, errNoInstant // There is no such day.
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
