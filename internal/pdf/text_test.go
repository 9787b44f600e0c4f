package pdf

import "testing"

// TestScripts: names in scripts that run from right to left, as they are seen.
func TestScripts(t *testing.T) {
	for name, want := range map[string]string{
		"plan.pdf":             "plan.pdf",
		"אבג דה 12.pdf":        "הד גבא 12.pdf",
		"a אב (ג) b":           "a בא (ג) b",
		"سلام":                 "\ufee1\ufefc\ufeb3",             // seen initial, lam-alef final, meem isolated
		"بيت.pdf":              "\ufe96\ufef4\ufe91.pdf",         // initial, medial, final
		"دار":                  "\ufead\ufe8d\ufea9",             // letters that do not join
		"پژ":                   "\ufb8b\ufb58",                   // Persian
		"عَلَم":                "\ufee2\u064e\ufee0\u064e\ufecb", // over vowel marks
		"\u0647\u0640\u0640 x": "\u0640\u0640\ufeeb x",
	} {
		if got := visual(glyphs(name)); got != want {
			t.Errorf("%q is seen as %+q, want %+q", name, got, want)
		}
	}
}
