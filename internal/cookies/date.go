package cookies

import "time"

// ParseDate reads a date as cookies have them (section 5.1.1): any text with a time,
// a day, a month and a year in it, in whichever order and between whatever else. Two
// digits of a year mean 1970 to 2069.
func ParseDate(s string) (t time.Time, ok bool) {
	var d dateParts
	for i := 0; i < len(s); {
		if isDateDelimiter(s[i]) {
			i++
			continue
		}
		start := i
		for i < len(s) && !isDateDelimiter(s[i]) {
			i++
		}
		d.take(s[start:i])
	}
	return d.date()
}

// isDateDelimiter tells what stands between the tokens of a date.
func isDateDelimiter(c byte) bool {
	switch {
	case c == '\t', ' ' <= c && c <= '/', ';' <= c && c <= '@', '[' <= c && c <= '`', '{' <= c && c <= '~':
		return true
	}
	return false
}

// dateParts are the parts of a date found so far.
type dateParts struct {
	hour, minute, second, day, year    int
	month                              time.Month
	hasTime, hasDay, hasMonth, hasYear bool
}

// take gives a token to the first part that is missing and that it can be.
func (d *dateParts) take(token string) {
	if !d.hasTime && d.takeTime(token) {
		return
	}
	n, digits := leadingNumber(token, 4)
	whole := digits == len(token) || digits > 0 && !isDigit(token[digits])
	switch {
	case !d.hasDay && whole && digits >= 1 && digits <= 2:
		d.day, d.hasDay = n, true
	case !d.hasMonth && d.takeMonth(token):
	case !d.hasYear && whole && digits >= 2:
		d.year, d.hasYear = n, true
	}
}

// takeTime reads hh:mm:ss, each of one or two digits, whatever follows.
func (d *dateParts) takeTime(token string) bool {
	var field [3]int
	for i := range field {
		n, digits := leadingNumber(token, 2)
		if digits == 0 {
			return false
		}
		field[i], token = n, token[digits:]
		if i < 2 {
			if token == "" || token[0] != ':' {
				return false
			}
			token = token[1:]
		}
	}
	if token != "" && isDigit(token[0]) {
		return false
	}
	d.hour, d.minute, d.second, d.hasTime = field[0], field[1], field[2], true
	return true
}

const monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"

// takeMonth reads the first three letters of a month's name, whatever follows.
func (d *dateParts) takeMonth(token string) bool {
	if len(token) < 3 {
		return false
	}
	for i := 0; i < len(monthNames); i += 3 {
		if hasPrefixFold(token, monthNames[i:i+3]) {
			d.month, d.hasMonth = time.Month(i/3+1), true
			return true
		}
	}
	return false
}

// date puts the parts together, if they are all there and make a date.
func (d *dateParts) date() (time.Time, bool) {
	if !d.hasTime || !d.hasDay || !d.hasMonth || !d.hasYear {
		return time.Time{}, false
	}
	switch {
	case d.year <= 69:
		d.year += 2000
	case d.year <= 99:
		d.year += 1900
	}
	if d.year < 1601 || d.hour > 23 || d.minute > 59 || d.second > 59 {
		return time.Time{}, false
	}
	t := time.Date(d.year, d.month, d.day, d.hour, d.minute, d.second, 0, time.UTC)
	return t, t.Day() == d.day && t.Month() == d.month
}

// leadingNumber reads at most so many digits.
func leadingNumber(s string, most int) (n, digits int) {
	for digits < most && digits < len(s) && isDigit(s[digits]) {
		n = 10*n + int(s[digits]-'0')
		digits++
	}
	return n, digits
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
