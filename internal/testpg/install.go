package testpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// binaries returns the folder with PostgreSQL's programs: Debian's of the newest
// version, or the one in PATH.
var binaries = sync.OnceValues(func() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	newest, dir := -1, ""
	for _, path := range found {
		bin := filepath.Dir(path)
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		if err == nil && version > newest {
			newest, dir = version, bin
		}
	}
	if dir != "" {
		return dir, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed, run script/setup: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
})

// blank is a data folder that no server has run in yet. Every new server begins
// with a copy of it.
type blank struct {
	login login
	prog  *program // only its folder
}

var template = sync.OnceValues(func() (*blank, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	prog, err := newProgram("template", "QUIT")
	if err != nil {
		return nil, err
	}
	b := &blank{login{admin: password(), owner: password()}, prog}
	pwfile := filepath.Join(prog.dir, "password")
	if err := errors.Join(os.WriteFile(pwfile, []byte(b.login.admin), 0o600), own(pwfile)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The order of text is a language's, as on most servers, so that a statement
	// that counts on the order of bytes is found out.
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--no-sync", "-D", b.data(),
		"-U", "postgres", "--pwfile="+pwfile, "--auth=scram-sha-256", "--encoding=UTF8",
		"--locale=C", "--locale-provider=icu", "--icu-locale=en")
	if _, err := output(unprivileged(initdb), ""); err != nil {
		return nil, err
	}
	single := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--single", "-F", "-D", b.data(), "postgres")
	_, err = output(unprivileged(single), fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s'\nCREATE DATABASE %[1]s OWNER %[1]s TEMPLATE template0\n",
		name, b.login.owner))
	if err != nil {
		return nil, err
	}
	return b, nil
})

func (b *blank) data() string { return filepath.Join(b.prog.dir, "data") }

func (b *blank) copyTo(dir string) error {
	_, err := output(unprivileged(exec.Command("cp", "-R", "-p", b.data(), dir)), "")
	return err
}

func password() string { return strings.ToLower(rand.Text()) }

// output runs a program that ends and returns what it wrote. Variables such as
// PGHOST do not reach it.
func output(cmd *exec.Cmd, input string) (string, error) {
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return env
}
