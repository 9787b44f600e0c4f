package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
)

const (
	defaultKeyPrefix = "datestone_live_"

	// What a plan allows in a minute where it does not say.
	defaultRequests = 120
	defaultCreates  = 30

	defaultCreatesPerAddress = 60
)

var (
	soundKeyPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	soundPlanName  = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
)

// CheckAccounts refuses what cannot be about accounts. It is what their commands need.
func (c Config) CheckAccounts() error {
	if err := c.CheckStore(); err != nil {
		return err
	}
	if !soundKeyPrefix.MatchString(c.KeyPrefix) {
		return fmt.Errorf("key_prefix is %q: write up to 64 letters, digits, - and _, for example %q", c.KeyPrefix, defaultKeyPrefix)
	}
	if c.CreatesPerAddress < 1 {
		return fmt.Errorf("creates_per_address is %d: write a number from 1 on", c.CreatesPerAddress)
	}
	if len(c.Plans) == 0 {
		return errors.New("there are no plans: add a table [plans.NAME] for each")
	}
	for _, name := range planNames(c.Plans) {
		p := c.Plans[name]
		switch {
		case !soundPlanName.MatchString(name):
			return fmt.Errorf("the plan %q: write a name of up to 32 small letters, digits, - and _", name)
		case p.Quota < 1:
			return fmt.Errorf("plans.%s.quota is %d: write how many stamps an account may make in a month, from 1 on", name, p.Quota)
		case p.Commitment < 0 || p.Commitment > 0 && p.Commitment < time.Minute:
			return fmt.Errorf("plans.%s.commitment is %v: write a time from 1m on, or 0 for no promise", name, p.Commitment)
		case p.MaxFee < 0 || p.MaxFee > 0 && p.Commitment == 0:
			return fmt.Errorf("plans.%s.max_fee is %d and commitment is %v: write a fee that keeps a commitment, or leave it out", name, p.MaxFee, p.Commitment)
		case p.Requests < 1 || p.Creates < 1:
			return fmt.Errorf("plans.%s: requests is %d and creates is %d: write how many there may be in a minute, from 1 on", name, p.Requests, p.Creates)
		}
	}
	return nil
}

// CheckPlan refuses a plan that is not defined.
func (c Config) CheckPlan(name string) error {
	if _, ok := c.Plans[name]; name == "" {
		return fmt.Errorf("name a plan: one of %s", strings.Join(planNames(c.Plans), ", "))
	} else if !ok {
		return fmt.Errorf("there is no plan %q: choose one of %s, or add a table [plans.%s] to the configuration", name, strings.Join(planNames(c.Plans), ", "), name)
	}
	return nil
}

// planNames are the names of plans, that with the smallest quota first.
func planNames(p account.Plans) []string {
	return slices.SortedFunc(maps.Keys(p), func(a, b string) int {
		return cmp.Or(cmp.Compare(p[a].Quota, p[b].Quota), cmp.Compare(a, b))
	})
}

// completePlans fills in what the file's plans leave out, and all of them where it has none.
func completePlans(p account.Plans) account.Plans {
	if len(p) == 0 {
		return account.DefaultPlans()
	}
	for name, plan := range p {
		plan.Requests, plan.Creates = cmp.Or(plan.Requests, defaultRequests), cmp.Or(plan.Creates, defaultCreates)
		p[name] = plan
	}
	return p
}

// similarOfPlans is a hint at the setting of a plan that was probably meant by a key that is none.
func similarOfPlans(key string) (hint string, found bool) {
	parts := strings.Split(key, ".")
	if parts[0] != "plans" {
		return ", did you mean a table [plans.NAME]", distance(parts[0], "plans") <= 2
	}
	for f := range fields(reflect.TypeFor[account.Plan]()) {
		if name := f.Tag.Get("toml"); len(parts) == 3 && distance(name, parts[2]) <= 2 {
			return fmt.Sprintf(", did you mean %q", "plans."+parts[1]+"."+name), true
		}
	}
	return "", true
}

// checkPlansInUse refuses a configuration that lacks the plan of an account.
func checkPlansInUse(ctx context.Context, db *store.DB, c Config) error {
	names, err := db.PlansInUse(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := c.Plans[name]; !ok {
			return fmt.Errorf("there are accounts with the plan %q, which is not defined: add a table [plans.%s] to the configuration, or give them another one with datestoned account plan", name, name)
		}
	}
	return nil
}

// proxies reads what trusted_proxies says.
func proxies(list []string) ([]netip.Prefix, error) { return networks("trusted_proxies", list) }

// networks reads a setting that lists addresses and networks.
func networks(setting string, list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if a, alone := netip.ParseAddr(text); alone == nil {
			p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
		}
		switch {
		case err != nil || p.Addr().Is4In6():
			return nil, fmt.Errorf(`%s has %q: write addresses or networks, for example ["10.0.0.0/8", "::1"]`, setting, text)
		case p != p.Masked():
			return nil, fmt.Errorf("%s has %q: write %q for the network, or the address alone", setting, text, p.Masked())
		}
		all = append(all, p)
	}
	return all, nil
}
