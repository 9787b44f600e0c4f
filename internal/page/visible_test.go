package page

import "testing"

// TestVisible: what could make a text look like another is seen.
func TestVisible(t *testing.T) {
	if got := Visible("a\u200cb\u200dc\u202ed\u061ce\x07"); got != "a\u200cb\u200dc[U+202E]d[U+061C]e[U+0007]" {
		t.Error(got)
	}
}
