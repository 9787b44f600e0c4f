package pdf

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestFiles: a document's files are associated with it, with their types, and its table of objects is right.
func TestFiles(t *testing.T) {
	made := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	document := func(files ...File) ([]byte, error) {
		d := New("A title", made)
		d.AddPage()
		d.Use(Regular, 10, Ink)
		d.Name("a name", 10, Ink, 100)
		for _, f := range files {
			d.Attach(f)
		}
		return d.Bytes()
	}
	// What a file says cannot be taken for an object.
	hostile := []byte("\n9 0 obj\n<< /Type /Filespec /F () >>\nendobj\nxref\n0 1\nstartxref\n0\n%%EOF\n")
	b, err := document(File{"a.xml", "text/xml", "first", hostile}, File{"b.ots", "application/octet-stream", "second", []byte("2")})
	if err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{
		"/AFRelationship /Source": 2, "/F (a.xml) ": 1, "/F (b.ots) ": 1, "/Subtype /text#2Fxml": 1, "/Subtype /application#2Foctet-stream": 1, "/ModDate (D:20260501120000Z)": 2, "/AF [ ": 1, "/ID [<": 1,
	} {
		if n := bytes.Count(b, []byte(want)); n != times {
			t.Errorf("%q is there %d times, want %d", want, n, times)
		}
	}
	// What was joined is split again into the same objects.
	objects, rest, err := split(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := split(join(objects, rest)); err != nil || len(again) != len(objects) || len(objects) < 8 {
		t.Errorf("%d objects, then %d: %v", len(objects), len(again), err)
	}
	for _, bad := range []File{{Name: "a (b).xml", Type: "text/xml"}, {Name: "a.xml", Type: "text"}, {Name: "", Type: "text/xml"}, {Name: strings.Repeat("x", 201), Type: "text/xml"}} {
		if _, err := document(bad); err == nil {
			t.Errorf("%+v is attached", bad)
		}
	}
	for _, broken := range [][]byte{nil, []byte("%PDF"), b[:len(b)/2], bytes.Replace(b, []byte("startxref\n"), []byte("startxref\n9"), 1)} {
		if _, _, err := split(broken); err == nil {
			t.Errorf("%d bytes are a PDF", len(broken))
		}
	}
}
