package server

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/datestone/datestone/internal/mail"
)

// newMail makes the client of the mail server, or nil where none is configured.
func (c Config) newMail() (*mail.Client, error) {
	if c.SMTPAddress == "" {
		for name, value := range map[string]string{
			"smtp_user": c.SMTPUser, "smtp_password_file": c.SMTPPasswordFile, "smtp_ca": c.SMTPCA, "mail_from": c.MailFrom,
		} {
			if value != "" {
				return nil, fmt.Errorf(`%s is set and smtp_address is not: write the mail server's address, for example smtp_address = "mail.example.org:587"`, name)
			}
		}
		return nil, nil
	}
	config := mail.Config{Address: c.SMTPAddress, TLS: c.SMTPTLS, User: c.SMTPUser, From: c.MailFrom}
	if c.SMTPPasswordFile != "" {
		password, err := readSecret(c.SMTPPasswordFile)
		if err != nil {
			return nil, fmt.Errorf("smtp_password_file: %w", err)
		}
		config.Password = password
	}
	if c.SMTPCA != "" {
		pem, err := readSmall(c.SMTPCA, maxCA)
		if err != nil {
			return nil, fmt.Errorf("smtp_ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp_ca: %s holds no certificate in PEM", c.SMTPCA)
		}
	}
	client, err := mail.New(config)
	if err != nil {
		return nil, fmt.Errorf("the settings smtp_* and mail_from: %w", err)
	}
	return client, nil
}

// checkMail says what is wrong with an account's address; it is nil where no e-mail is sent.
func (c Config) checkMail() func(address string) error {
	if c.SMTPAddress == "" {
		return nil
	}
	return mail.CheckAddress
}

const (
	maxSecret = 4 << 10
	maxCA     = 1 << 20
)

// readSecret reads the first line of a file that nobody else may read. Its errors never hold what the file holds.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others: chmod 600 it", path)
	}
	b, err := readSmall(path, maxSecret)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n\x00") {
		return "", fmt.Errorf("%s must hold one line, which is the secret", path)
	}
	return secret, nil
}

func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, nil
}
