package p2p

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/datestone/datestone/ots"
)

// A cache file holds the headers that follow a pin: the line below, the hash of block 0,
// the pin's height (8 bytes, little-endian) and hash, the headers, and the SHA-256 of all
// that. It is replaced as a whole, so that two processes at once do no harm, and when it is read each
// header is checked as if a peer had sent it.
const cacheMagic = "datestone headers 1\n"

const cacheHead = len(cacheMagic) + 32 + 8 + 32

func (s *Source) cacheFile(base uint64) string {
	return filepath.Join(s.cfg.Dir, s.cfg.Network.Name, strconv.FormatUint(base, 10)+".headers")
}

func (s *Source) cacheHeader(c *chain) []byte {
	b := append([]byte(cacheMagic), s.params.GenesisHash[:]...)
	b = binary.LittleEndian.AppendUint64(b, c.base.height)
	return append(b, c.base.hash[:]...)
}

// load reads the run of headers above a pin; one that is missing or damaged is empty.
func (s *Source) load(i int) *chain {
	if s.cfg.Dir == "" {
		return s.empty(i)
	}
	c := s.empty(i)
	err := s.read(c)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return c
	}
	s.cfg.Log(fmt.Sprintf("the headers kept in %s are fetched anew: %v", s.cacheFile(c.base.height), err))
	return s.empty(i)
}

func (s *Source) read(c *chain) error {
	f, err := os.Open(s.cacheFile(c.base.height))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	size := st.Size() - int64(cacheHead) - sha256.Size
	if !st.Mode().IsRegular() || size < 0 || size%ots.HeaderSize != 0 || size/ots.HeaderSize > int64(c.limit) {
		return errors.New("the file is damaged, or not one of this program")
	}
	sum := sha256.New()
	r := io.TeeReader(f, sum)
	head := make([]byte, cacheHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	if !bytes.Equal(head, s.cacheHeader(c)) {
		return errors.New("the file is damaged, of another network or of another version of this program")
	}
	b, err := c.branch(c.tip())
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	part := make([]byte, 1024*ots.HeaderSize)
	for size > 0 {
		part = part[:min(size, int64(len(part)))]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		size -= int64(len(part))
		for h := part; len(h) > 0; h = h[ots.HeaderSize:] {
			if err := b.add(h[:ots.HeaderSize], now); err != nil {
				return err
			}
		}
		b.join()
	}
	want := sum.Sum(nil)
	end := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, end); err != nil {
		return err
	}
	if !bytes.Equal(end, want) {
		return errors.New("its checksum is wrong")
	}
	return nil
}

// save replaces the cache file. That it cannot be written is said, and no error: it only
// costs time.
func (s *Source) save(c *chain) {
	if s.cfg.Dir == "" {
		return
	}
	if err := s.write(c); err != nil {
		s.cfg.Log(fmt.Sprintf("the headers cannot be kept: %v", err))
	}
}

func (s *Source) write(c *chain) (err error) {
	name := s.cacheFile(c.base.height)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	s.sweep(filepath.Dir(name))
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	w := io.MultiWriter(f, sum)
	if _, err := w.Write(s.cacheHeader(c)); err != nil {
		return err
	}
	for i, part := range c.run.parts {
		if i == 0 && c.first == 0 {
			part = part[ots.HeaderSize:] // block 0
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if _, err := f.Write(sum.Sum(nil)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// sweep removes what processes left that were killed while they wrote.
func (s *Source) sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, ".new-*"))
	for _, name := range left {
		if st, err := os.Lstat(name); err == nil && time.Since(st.ModTime()) > time.Hour {
			os.Remove(name)
		}
	}
}
