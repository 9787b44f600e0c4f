package main

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/datestone/datestone/internal/server"
)

// settings are the flags of a command that reads the configuration: the file, and every setting.
type settings struct {
	Config string `name:"config" short:"c" placeholder:"FILE" help:"The configuration file ($$DATESTONED_CONFIG). datestoned config prints one."`
	kong.Plugins
}

// newSettings makes a flag for each setting. A flag that is not given stays nil, so that the
// environment and the file can be asked.
func newSettings() settings {
	var flags []reflect.StructField
	for i, s := range server.Settings() {
		t := reflect.TypeFor[*string]()
		if s.Kind == reflect.Bool {
			t = reflect.TypeFor[*bool]()
		}
		help := strings.ReplaceAll(fmt.Sprintf("%s ($%s).", s.Help, s.Env()), "$", "$$")
		flags = append(flags, reflect.StructField{
			Name: "Setting" + strconv.Itoa(i),
			Type: t,
			Tag:  reflect.StructTag(fmt.Sprintf(`name:%q help:%q placeholder:"VALUE" group:"Settings"`, s.Flag(), help)),
		})
	}
	return settings{Plugins: kong.Plugins{reflect.New(reflect.StructOf(flags)).Interface()}}
}

// load reads the configuration: flags win over the environment, and the environment over the file.
func (s *settings) load(p *program) (server.Config, error) {
	given, path, err := fromEnvironment(p.env)
	if err != nil {
		return server.Config{}, usageError{err}
	}
	if s.Config != "" {
		path = s.Config
	}
	flags := reflect.ValueOf(s.Plugins[0]).Elem()
	for i, setting := range server.Settings() {
		switch value := flags.Field(i).Interface().(type) {
		case *string:
			if value != nil {
				given[setting.Key] = *value
			}
		case *bool:
			if value != nil {
				given[setting.Key] = strconv.FormatBool(*value)
			}
		}
	}
	c, err := server.Load(path, given)
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// fromEnvironment finds settings in the environment, and the path of the file. An empty variable counts
// as none; one that only looks like a setting is an error.
func fromEnvironment(env []string) (given server.Given, path string, err error) {
	keys := make(map[string]string)
	for _, s := range server.Settings() {
		keys[s.Env()] = s.Key
	}
	given = make(server.Given)
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, server.EnvPrefix) || value == "" {
			continue
		}
		if name == server.EnvPrefix+"CONFIG" {
			path = value
			continue
		}
		key, ok := keys[name]
		if !ok {
			return nil, "", fmt.Errorf("the environment variable %s is no setting; datestoned serve --help lists them", name)
		}
		given[key] = value
	}
	return given, path, nil
}

type configCmd struct {
	Print configPrintCmd `cmd:"" default:"1" help:"Print every setting with its default."`
	Check configCheckCmd `cmd:"" help:"Check a configuration file."`
}

type configPrintCmd struct{}

func (*configPrintCmd) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, server.Documentation)
	return err
}

type configCheckCmd struct {
	File string `arg:"" help:"The configuration file."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *configCheckCmd) Run(p *program) error {
	config, err := server.Load(c.File, nil)
	if err == nil {
		err = config.Check()
	}
	type result struct {
		OK    bool   `json:"ok"`
		Error string `json:"error,omitempty"`
	}
	if err != nil {
		if c.JSON {
			p.print(true, result{Error: err.Error()}, "")
		}
		return usageError{err}
	}
	return p.print(c.JSON, result{OK: true}, c.File+" is sound")
}

type epochCmd struct {
	New epochNewCmd `cmd:"" help:"Begin a new epoch, after entries may have been lost."`
}

type epochNewCmd struct {
	settings
	Reason string `required:"" help:"Why, for the record: restored from backup, failover."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *epochNewCmd) Run(p *program) error {
	config, err := c.load(p)
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.Reason) == "" {
		return usageError{errors.New("say why: --reason 'restored from backup'")}
	}
	epoch, err := server.NewEpoch(p.ctx, config, c.Reason)
	if err != nil {
		return err
	}
	return p.print(c.JSON, map[string]int{"epoch": epoch}, fmt.Sprintf("epoch %d has begun", epoch))
}
