package printed

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample(seed string) Root {
	return Root{Purpose: "log", Name: "0/12345", Date: "2026-11-28", Hash: sha256.Sum256([]byte(seed))}
}

// The check characters of the standard's own example, and a text whose lines were computed with Python.
func TestLines(t *testing.T) {
	if got := checkCharacters("ISO79"); got != "3W" {
		t.Errorf("ISO79 has the check characters %s, and in ISO 7064 they are 3W", got)
	}
	want := []string{
		"log 0/12345 2026-11-28",
		"1  ca97 8112 ca1b bdca  FG",
		"2  fac2 31b3 9a23 dc4d  NR",
		"3  a786 eff8 147c 4e72  JB",
		"4  b980 7785 afee 48bb  9C",
		"5  e6fe f4d6  QR",
	}
	if diff := cmp.Diff(want, sample("a").Lines()); diff != "" {
		t.Error(diff)
	}
}

func TestReadAgain(t *testing.T) {
	for _, seed := range []string{"a", "b", "c", "d"} {
		r := sample(seed)
		text := strings.Join(r.Lines(), "\n")
		for name, typed := range map[string]string{
			"as printed":        text,
			"upper case":        strings.ToUpper(text),
			"other spaces":      strings.ReplaceAll(strings.ReplaceAll(text, "  ", " "), "\n", " \r\n\r\n"),
			"numbers with dots": strings.NewReplacer("1  ", "1. ", "2  ", "2) ", "3  ", "3: ").Replace(text),
			"words around":      "PUBLIC NOTICE\nof 28 November 2026\n\n" + text + "\n\nThis number covers every document.\nhttps://stamps.example.org/publications\n",
		} {
			got, err := Read(typed)
			if err != nil || got != r {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

// onlyLine fails the test unless the text is refused for that line and no other.
func onlyLine(t *testing.T, text string, line int) Problem {
	t.Helper()
	r, err := Read(text)
	m, is := errors.AsType[*Misread](err)
	if !is || len(m.Problems) != 1 || m.Problems[0].Line != line {
		t.Fatalf("%q: %+v, %v; want a problem of line %d alone", text, r, err, line)
	}
	return m.Problems[0]
}

// positions are where a line has letters and digits.
func positions(line string) (all []int) {
	for i, c := range []byte(line) {
		if strings.IndexByte(alphabet, c&^0x20) >= 0 || c >= '0' && c <= '9' {
			all = append(all, i)
		}
	}
	return all
}

// Every wrong character of every numbered line is found and located, and so are any two characters beside each other,
// or one apart, that changed places.
func TestEveryMistakeInALine(t *testing.T) {
	for _, seed := range []string{"a", "b"} {
		lines := sample(seed).Lines()
		with := func(number int, line string) string {
			all := append([]string{}, lines...)
			all[number] = line
			return strings.Join(all, "\n")
		}
		tried := 0
		for number := 1; number <= 5; number++ {
			right := lines[number]
			at := positions(right)
			for i, p := range at {
				for _, c := range strings.ToLower(alphabet) {
					if wrong := right[:p] + string(c) + right[p+1:]; !strings.EqualFold(wrong, right) {
						problem := onlyLine(t, with(number, wrong), number)
						if problem.Instead != right {
							t.Fatalf("%q: mended to %q, and it was %q", wrong, problem.Instead, right)
						}
						tried++
					}
				}
				for _, apart := range []int{1, 2} {
					if i+apart >= len(at) {
						continue
					}
					b := []byte(right)
					b[p], b[at[i+apart]] = b[at[i+apart]], b[p]
					if wrong := string(b); !strings.EqualFold(wrong, right) {
						problem := onlyLine(t, with(number, wrong), number)
						if apart == 1 && i > 0 && i+3 < len(at) && problem.Instead != right {
							t.Fatalf("%q: mended to %q, and it was %q", wrong, problem.Instead, right)
						}
						tried++
					}
				}
			}
		}
		if tried < 3000 {
			t.Errorf("only %d mistakes were tried", tried)
		}
	}
}

// Every wrong character of the line with the date is found, and named as that line.
func TestEveryMistakeInTheFirstLine(t *testing.T) {
	lines := sample("a").Lines()
	for i := range lines[0] {
		for _, c := range "0123456789abcdefghijklmnopqrstuvwxyz/-. " {
			wrong := lines[0][:i] + string(c) + lines[0][i+1:]
			if wrong != lines[0] {
				onlyLine(t, strings.Join(append([]string{wrong}, lines[1:]...), "\n"), 0)
			}
		}
		if i > 0 && lines[0][i] != lines[0][i-1] {
			b := []byte(lines[0])
			b[i], b[i-1] = b[i-1], b[i]
			onlyLine(t, strings.Join(append([]string{string(b)}, lines[1:]...), "\n"), 0)
		}
	}
}

func TestOtherMistakes(t *testing.T) {
	lines := sample("a").Lines()
	text := func(change func(l []string) []string) string {
		return strings.Join(change(append([]string{}, lines...)), "\n")
	}
	one := func(number int, line string) string {
		return text(func(l []string) []string { l[number] = line; return l })
	}
	for number := 1; number <= 4; number++ {
		right := lines[number]
		for p := 3; p < 3+16+3; p++ {
			if right[p] == ' ' {
				continue
			}
			if got := onlyLine(t, one(number, right[:p]+right[p+1:]), number); got.Instead != right {
				t.Errorf("without character %d: mended to %q, and it was %q", p, got.Instead, right)
			}
			if got := onlyLine(t, one(number, right[:p]+"7"+right[p:]), number); got.Instead != right {
				t.Errorf("with another before %d: mended to %q, and it was %q", p, got.Instead, right)
			}
		}
		onlyLine(t, text(func(l []string) []string { return append(l[:number], l[number+1:]...) }), number)
	}
	for name, wrong := range map[string]string{
		"two lines changed places": text(func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }),
		"a line twice":             text(func(l []string) []string { l[3] = l[2]; return l }),
		"a line of another notice": one(2, sample("b").Lines()[2]),
		"nothing":                  "",
		"only words":               "a lovely day in the park\nI am the walrus",
		"too many lines":           text(func(l []string) []string { return append(l, sample("b").Lines()[1:]...) }),
		"too long":                 strings.Repeat("a", MaxText+1),
	} {
		if r, err := Read(wrong); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(strings.Join(sample("a").Lines(), "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Read(text)
		if err != nil {
			return
		}
		if again, err := Read(strings.Join(r.Lines(), "\n")); err != nil || again != r {
			t.Errorf("%+v is printed and read as %+v, %v", r, again, err)
		}
	})
}
