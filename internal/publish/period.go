package publish

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container may have no time zones
)

// Period is when notices are made: at a time of every day, or of one day of the week, in a time zone.
type Period struct {
	daily        bool
	day          time.Weekday
	hour, minute int
	zone         *time.Location
}

// ParsePeriod reads "daily 06:30" or "weekly monday 09:00", and a time zone such as Europe/Berlin.
func ParsePeriod(text, zone string) (Period, error) {
	var p Period
	example := `write "daily 06:30" or "weekly monday 09:00"`
	words := strings.Fields(strings.ToLower(text))
	switch {
	case len(words) == 2 && words[0] == "daily":
		p.daily = true
	case len(words) == 3 && words[0] == "weekly":
		found := false
		for d := range time.Weekday(7) {
			if strings.ToLower(d.String()) == words[1] {
				p.day, found = d, true
			}
		}
		if !found {
			return p, fmt.Errorf("the period is %q, and %q is no day of the week: %s", text, words[1], example)
		}
	default:
		return p, fmt.Errorf("the period is %q: %s", text, example)
	}
	at, err := time.Parse("15:04", words[len(words)-1])
	if err != nil {
		return p, fmt.Errorf("the period is %q, and %q is no time of the day: %s", text, words[len(words)-1], example)
	}
	p.hour, p.minute = at.Hour(), at.Minute()
	if p.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		return p, fmt.Errorf(`the time zone is %q: write one such as "Europe/Berlin", or "UTC"`, zone)
	}
	return p, nil
}

// Last is the newest moment, not after now, at which a notice is due, and the date that names it. Names grow with time.
func (p Period) Last(now time.Time) (at time.Time, name string) {
	now = now.In(p.zone)
	back := 0
	if !p.daily {
		back = (int(now.Weekday()) - int(p.day) + 7) % 7
	}
	at = p.on(now, -back)
	if at.After(now) {
		if at = p.on(now, -back-7); p.daily {
			at = p.on(now, -1)
		}
	}
	return at, at.Format(time.DateOnly)
}

// Next is the first moment after now at which a notice is due.
func (p Period) Next(now time.Time) time.Time {
	at, _ := p.Last(now)
	step := 7
	if p.daily {
		step = 1
	}
	return p.on(at, step)
}

// on is the time of the day on a date. An hour that a change of clocks leaves out comes later on the same date.
func (p Period) on(day time.Time, plus int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+plus, p.hour, p.minute, 0, 0, p.zone)
}
