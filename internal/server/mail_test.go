package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheckMail(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password := write("password", "hunter2\n", 0o600)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	withMail := func(c *Config) {
		c.SMTPAddress, c.SMTPUser, c.SMTPPasswordFile, c.SMTPCA, c.MailFrom = "mail.example.org:587", "stamps", password, ca, "Datestone <stamps@example.org>"
	}
	for _, k := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty is none
	}{
		{"nothing", func(*Config) {}, ""},
		{"mail", withMail, ""},
		{"mail without a login", func(c *Config) { c.SMTPAddress, c.MailFrom = "mail.example.org:587", "stamps@example.org" }, ""},
		{"mail from nobody", func(c *Config) { withMail(c); c.MailFrom = "" }, `smtp_* and mail_from: mail would come from "": write an address`},
		{"mail without a port", func(c *Config) { withMail(c); c.SMTPAddress = "mail.example.org" }, "write host:port"},
		{"mail without TLS", func(c *Config) { withMail(c); c.SMTPTLS = "none" }, `TLS is "none": write "starttls"`},
		{"a user without a password", func(c *Config) { withMail(c); c.SMTPPasswordFile = "" }, "belong together"},
		{"a password without a user", func(c *Config) { withMail(c); c.SMTPUser = "" }, "belong together"},
		{"no server but a sender", func(c *Config) { c.MailFrom = "stamps@example.org" }, "mail_from is set and smtp_address is not"},
		{"no server but a password", func(c *Config) { c.SMTPPasswordFile = password }, "smtp_password_file is set and smtp_address is not"},
		{"no password file", func(c *Config) { withMail(c); c.SMTPPasswordFile = filepath.Join(dir, "none") }, "smtp_password_file: stat "},
		{"a password that others read", func(c *Config) { withMail(c); c.SMTPPasswordFile = write("open", "hunter2", 0o644) }, "chmod 600 it"},
		{"an empty password", func(c *Config) { withMail(c); c.SMTPPasswordFile = write("empty", "\n", 0o600) }, "must hold one line"},
		{"two lines", func(c *Config) { withMail(c); c.SMTPPasswordFile = write("two", "hunter2\nhunter2\n", 0o600) }, "must hold one line"},
		{"a long password", func(c *Config) {
			withMail(c)
			c.SMTPPasswordFile = write("long", strings.Repeat("hunter2", 1000), 0o600)
		}, "more than 4096 bytes"},
		{"no certificates", func(c *Config) { withMail(c); c.SMTPCA = password }, "holds no certificate in PEM"},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := sound(t)
			k.change(&c)
			err := c.Check()
			switch {
			case k.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case k.want != "" && (err == nil || !strings.Contains(err.Error(), k.want)):
				t.Errorf("got %v, want an error with %q", err, k.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}
