package pdf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// File is what a document brings with it.
type File struct {
	Name        string // ASCII that every system takes
	Type        string // of the content, such as text/xml
	Description string
	Content     []byte
}

// Attach adds a file to the document.
func (d *Drawing) Attach(f File) { d.files = append(d.files, f) }

// Bytes is the finished document. Its files are associated with it as PDF/A-3 and PDF 2.0 say: what the document is
// made from, with their types and times.
func (d *Drawing) Bytes() ([]byte, error) {
	var attached []fpdf.Attachment
	for _, f := range d.files {
		attached = append(attached, fpdf.Attachment{Content: f.Content, Filename: f.Name, Description: f.Description})
	}
	d.SetAttachments(attached)
	var b bytes.Buffer
	if err := d.Output(&b); err != nil {
		return nil, err
	}
	if len(d.files) == 0 {
		return b.Bytes(), nil
	}
	objects, rest, err := split(b.Bytes())
	if err != nil {
		return nil, err
	}
	if err := associate(objects, d.files, d.GetModificationDate()); err != nil {
		return nil, err
	}
	return join(objects, rest), nil
}

// object is one of a PDF: its number, and its bytes from that on.
type object struct {
	number int
	body   []byte
}

// split cuts a PDF of the library, which has one table of objects at its end, into the objects in their order, and what
// follows the table.
func split(b []byte) (objects []object, rest []byte, err error) {
	bad := errors.New("the PDF library writes its table of objects in another way")
	const line = 20 // bytes of an entry
	at := bytes.LastIndex(b, []byte("\nstartxref\n"))
	if at < 0 {
		return nil, nil, bad
	}
	text, _, _ := strings.Cut(string(b[at+len("\nstartxref\n"):]), "\n")
	table, err := strconv.Atoi(text)
	if err != nil || table < 0 || table >= at {
		return nil, nil, bad
	}
	var count int
	if n, err := fmt.Sscanf(string(b[table:min(len(b), table+40)]), "xref\n0 %d\n", &count); err != nil || n != 1 || count < 1 {
		return nil, nil, bad
	}
	entries := b[table+len(fmt.Sprintf("xref\n0 %d\n", count)):]
	if len(entries) < count*line {
		return nil, nil, bad
	}
	starts := []int{table}
	numbers := make(map[int]int)
	for i := 1; i < count; i++ {
		start, err := strconv.Atoi(string(entries[i*line : i*line+10]))
		if err != nil || start >= table || !bytes.HasPrefix(b[start:], fmt.Appendf(nil, "%d 0 obj\n", i)) {
			return nil, nil, bad
		}
		starts, numbers[start] = append(starts, start), i
	}
	slices.Sort(starts)
	for i, start := range starts[:len(starts)-1] {
		objects = append(objects, object{numbers[start], b[start:starts[i+1]]})
	}
	return objects, entries[count*line:], nil
}

var soundName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// associate writes into the objects of a PDF what the library does not know of its files. They are the first objects
// of their kinds, in the order of the files.
func associate(objects []object, files []File, made time.Time) error {
	var embedded, specified int
	var references strings.Builder
	const stream, filespec, catalog = "<< /Type /EmbeddedFile /Length ", "<< /Type /Filespec /F () ", "<<\n/Type /Catalog\n"
	for i := range objects {
		o := &objects[i]
		start, content, _ := bytes.Cut(o.body, []byte("\n"))
		replace := func(old, new string) {
			o.body = slices.Concat(start, []byte("\n"), []byte(new), content[len(old):])
		}
		switch {
		case bytes.HasPrefix(content, []byte(stream)) && embedded < len(files):
			parts := strings.SplitN(files[embedded].Type, "/", 2)
			if len(parts) != 2 || !soundName.MatchString(parts[0]) || !soundName.MatchString(parts[1]) {
				return fmt.Errorf("the type of the file %q is %q", files[embedded].Name, files[embedded].Type)
			}
			params := []byte("/Params << ")
			head := bytes.Index(content, params)
			if head < 0 {
				return errors.New("the PDF library writes files in another way")
			}
			content = slices.Concat(content[:head], params, fmt.Appendf(nil, "/ModDate (D:%s) ", made.UTC().Format("20060102150405Z")), content[head+len(params):])
			replace(stream, "<< /Type /EmbeddedFile /Subtype /"+parts[0]+"#2F"+parts[1]+" /Length ")
			embedded++
		case bytes.HasPrefix(content, []byte(filespec)) && specified < len(files):
			name := files[specified].Name
			if !soundName.MatchString(name) {
				return fmt.Errorf("a file cannot be called %q", name)
			}
			replace(filespec, "<< /Type /Filespec /F ("+name+") /AFRelationship /Source ")
			fmt.Fprintf(&references, "%d 0 R ", o.number)
			specified++
		case bytes.HasPrefix(content, []byte(catalog)):
			replace(catalog, catalog+"/AF [ "+references.String()+"]\n")
		}
	}
	if embedded != len(files) || specified != len(files) {
		return errors.New("the PDF library writes files in another way")
	}
	return nil
}

// join makes a PDF of objects.
func join(objects []object, rest []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	starts := make([]int, len(objects)+1)
	for _, o := range objects {
		starts[o.number] = b.Len()
		b.Write(o.body)
	}
	id := sha256.Sum256(b.Bytes())
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(starts))
	for _, start := range starts[1:] {
		fmt.Fprintf(&b, "%010d 00000 n \n", start)
	}
	trailer, _, _ := bytes.Cut(rest, []byte(">>\nstartxref\n"))
	b.Write(trailer)
	fmt.Fprintf(&b, "/ID [<%x> <%[1]x>]\n>>\nstartxref\n%d\n%%%%EOF\n", id[:16], table)
	return b.Bytes()
}
