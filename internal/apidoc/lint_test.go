package apidoc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
)

// lint says what the linter finds in a document.
func lint(t *testing.T, name string, document []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "lint.mjs"), testnode.Tool(t, "npm/node_modules/@redocly/openapi-core"), file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the linter failed: %v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}

func TestLint(t *testing.T) {
	d, err := Load("https://stamps.test", "test_live_")
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for name, document := range map[string][]byte{"openapi.json": inJSON, "openapi.yaml": inYAML} {
		if found := lint(t, name, document); found != "0 problems\n" {
			t.Errorf("%s:\n%s", name, found)
		}
	}
	// The linter would find an example that is not what its schema says, and a reference to nothing.
	for old, new := range map[string]string{
		`"file_size_bytes": 248331`:                  `"file_size_bytes": "248331"`,
		`"#/components/schemas/Timestamp"`:           `"#/components/schemas/Nothing"`,
		`"$ref": "#/components/examples/INVALID_ID"`: `"value": {"error": {"code": "OTHER"}}`,
	} {
		broken := bytes.Replace(inJSON, []byte(old), []byte(new), 1)
		if found := lint(t, "broken.json", broken); bytes.Equal(broken, inJSON) || strings.HasPrefix(found, "0 problems") {
			t.Errorf("with %s the linter found nothing", new)
		}
	}
}
