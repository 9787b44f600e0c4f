package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/datestone/datestone/ots/otshttp"
	"github.com/datestone/datestone/ots/signedmsg"
)

// privateFlags name calendars that want every digest signed.
type privateFlags struct {
	PrivateCalendar []string `sep:"none" placeholder:"URL" help:"Send to this calendar alone, with each digest signed by its key in the key file. May be repeated. Default: all that the key file names." group:"cmd"`
	KeyFile         string   `placeholder:"FILE" help:"The keys of private calendars, a line HOST=KEY for each. 'datestone keygen' makes one." group:"cmd"`
}

func (f *privateFlags) given() bool { return f.KeyFile != "" || len(f.PrivateCalendar) > 0 }

// signers are the calendars and, for each, what authorizes a request to it.
func (f *privateFlags) signers() (calendars []string, authorize func(*http.Request, []byte) error, err error) {
	if f.KeyFile == "" {
		return nil, nil, usagef("add --key-file FILE", "a private calendar wants every digest signed")
	}
	file, err := readKeyFile(f.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	calendars = f.PrivateCalendar
	if len(calendars) == 0 {
		for _, name := range file.Calendars() {
			calendars = append(calendars, "https://"+name)
		}
	}
	keys := make(map[string]signedmsg.PrivateKey) // by the address that digests are posted to
	for _, c := range calendars {
		u, err := otshttp.CheckURL(c)
		if err != nil {
			return nil, nil, usage(err, "")
		}
		key, ok := file.Key(u.Host + u.Path)
		if !ok {
			return nil, nil, usagef("", "%s has no key for %s: it has keys for %s", f.KeyFile, u.Host+u.Path, strings.Join(file.Calendars(), ", "))
		}
		keys[u.JoinPath("digest").String()] = key
	}
	return calendars, func(r *http.Request, digest []byte) error {
		if key, ok := keys[r.URL.String()]; ok && r.Method == http.MethodPost {
			r.Header.Set("X-Signature", key.Sign(signedmsg.Digest(digest)).String())
		}
		return nil
	}, nil
}

func readKeyFile(name string) (signedmsg.KeyFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return signedmsg.KeyFile{}, openError(name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, signedmsg.MaxKeyFile+1))
	if err != nil {
		return signedmsg.KeyFile{}, openError(name, err)
	}
	keys, err := signedmsg.ParseKeyFile(text)
	if err == nil && len(keys.Calendars()) == 0 {
		err = errors.New("there is no key in it")
	}
	if err != nil {
		return keys, usage(fmt.Errorf("%s: %w", name, err), "a line is HOST=KEY")
	}
	return keys, nil
}

type keygenCmd struct {
	File            string `arg:"" name:"file" help:"The key file to write. It must not be there yet."`
	PrivateCalendar string `placeholder:"URL" help:"The calendar that the key is for." group:"cmd"`
}

type keygenDoc struct {
	Command   string `json:"command"`
	Exit      int    `json:"exit"`
	File      string `json:"file"`
	Calendar  string `json:"calendar"`
	PublicKey string `json:"public_key"`
	Address   string `json:"address"`
}

func (c *keygenCmd) run(_ context.Context, a *app) (int, error) {
	if c.PrivateCalendar == "" {
		return 0, usagef("with --private-calendar URL", "name the calendar that the key is for")
	}
	u, err := otshttp.CheckURL(c.PrivateCalendar)
	if err != nil {
		return 0, usage(err, "")
	}
	key, err := signedmsg.NewPrivateKey()
	if err != nil {
		return 0, err
	}
	calendar := strings.TrimSuffix(u.Host+u.Path, "/")
	if err := writeSecret(c.File, signedmsg.FormatKeyFile(calendar, key)); errors.Is(err, fs.ErrExist) {
		return 0, usagef("write the line of another key into it by hand, or name another file", "%s exists already", c.File)
	} else if err != nil {
		return 0, openError(c.File, err)
	}
	public := key.Public()
	if a.JSON {
		a.writeJSON(keygenDoc{"keygen", exitOK, c.File, calendar, public.String(), public.Address()})
		return exitOK, nil
	}
	a.notef("%s has the private key: keep a copy, and show it to nobody. Give this public key to %s:", c.File, u.Host)
	a.printf("%s\n", public)
	return exitOK, nil
}

// writeSecret writes a new file that only its owner reads.
func writeSecret(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := finish(f, data); err != nil {
		os.Remove(name)
		return err
	}
	return nil
}
