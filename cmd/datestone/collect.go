package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/ots"
)

// maxInputs bounds one tree: the client's part of a proof may take 48 operations, and
// each doubling of the inputs costs two.
const maxInputs = 1 << 20

// input is one thing to stamp.
type input struct {
	name   string // the file, "-" for standard input, or empty for a digest
	proof  string // where its proof goes; "-" is standard output
	size   int64
	hashOp ots.Tag
	digest []byte
}

// skipped is a file in a folder that is not stamped.
type skipped struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// collect lists the inputs that files and folders stand for. A file named explicitly must
// be stampable; in a folder, what has a proof or is one is left out.
func collect(ctx context.Context, names []string) (in []input, left []skipped, err error) {
	seen := make(map[string]bool)
	add := func(i input) error {
		key := filepath.Clean(i.name)
		if seen[key] {
			return nil
		}
		seen[key] = true
		if len(in) == maxInputs {
			return usagef("stamp them in several runs", "more than %s files", thousands(maxInputs))
		}
		in = append(in, i)
		return nil
	}
	for _, name := range names {
		if name == "-" {
			if err := add(input{name: "-", proof: "-"}); err != nil {
				return nil, nil, err
			}
			continue
		}
		st, err := os.Stat(name)
		if err != nil {
			return nil, nil, openError(name, err)
		}
		if !st.IsDir() {
			if strings.HasSuffix(name, ".ots") {
				return nil, nil, usagef("to complete it run 'datestone upgrade'; to stamp a proof after all, pipe it in", "%s is a proof already", name)
			}
			if exists(name + ".ots") {
				return nil, nil, usagef("move it away to stamp the file again", "%s.ots exists already", name)
			}
			if err := add(input{name: name, proof: name + ".ots", size: st.Size()}); err != nil {
				return nil, nil, err
			}
			continue
		}
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return openError(path, err)
			}
			switch {
			case d.IsDir():
				// Files added below .git would become broken references.
				if d.Name() == ".git" && path != name {
					left = append(left, skipped{path, "a git folder"})
					return fs.SkipDir
				}
				return nil
			case strings.HasSuffix(path, ".ots"), strings.HasSuffix(path, ".ots.bak"):
				return nil
			case !d.Type().IsRegular():
				left = append(left, skipped{path, "not a regular file"})
				return nil
			case exists(path + ".ots"):
				left = append(left, skipped{path, "has a proof already"})
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return openError(path, err)
			}
			return add(input{name: path, proof: path + ".ots", size: info.Size()})
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return in, left, nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// parseDigest reads a digest given in hexadecimal. The algorithm is told from the length
// unless it is named: 20 bytes are SHA-1 then, 32 SHA-256.
func parseDigest(text, algorithm string) (input, error) {
	digest, err := hex.DecodeString(text)
	if err != nil {
		return input{}, usagef("such as the output of sha256sum", "%q is not hexadecimal", text)
	}
	algorithms := map[string]struct {
		op  ots.Tag
		len int
	}{"sha256": {ots.OpSHA256, 32}, "sha1": {ots.OpSHA1, 20}, "ripemd160": {ots.OpRIPEMD160, 20}}
	if algorithm == "" {
		algorithm = map[int]string{20: "sha1", 32: "sha256"}[len(digest)]
	}
	alg, ok := algorithms[algorithm]
	if !ok {
		return input{}, usagef("give the 64 digits of a SHA-256", "a digest of %d bytes is none that proofs know", len(digest))
	}
	if len(digest) != alg.len {
		return input{}, usagef("", "a %s digest has %d bytes, not %d", algorithm, alg.len, len(digest))
	}
	return input{proof: text + ".ots", hashOp: alg.op, digest: digest}, nil
}

// hashAll computes the digests of all inputs that have none, a few at a time.
func (a *app) hashAll(ctx context.Context, in []input) error {
	var total int64
	for _, i := range in {
		total += i.size
	}
	bar := a.progress(total, "hashing", true)
	defer bar.done()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var failed atomic.Bool
	for k := range in {
		if in[k].digest != nil {
			continue
		}
		if failed.Load() {
			break
		}
		g.Go(func() error {
			d, size, err := a.hashFile(ctx, in[k].name, bar)
			if err != nil {
				failed.Store(true)
				return err
			}
			in[k].hashOp, in[k].digest, in[k].size = ots.OpSHA256, d, size
			return nil
		})
	}
	return g.Wait()
}

// hashFile gives a file's SHA-256 and how many bytes it is of.
func (a *app) hashFile(ctx context.Context, name string, bar *progress) (digest []byte, size int64, err error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, openError(name, err)
		}
		defer f.Close()
		r = f
	}
	h := sha256.New()
	buf := make([]byte, 1<<17)
	for {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		bar.add(n)
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return h.Sum(nil), size, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("reading %s: %w", name, err)
		}
	}
}
