package originstamp

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/seed"
)

// The samples of the contract, byte for byte.

func id(text string) seed.UUID {
	parsed, err := account.ParseID(text)
	if err != nil {
		panic(err)
	}
	return seed.UUID(parsed)
}

func hash(text string) [32]byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return [32]byte(b)
}

var (
	bitcoinSeeds   = seed.Currency{ID: 0, Name: "BITCOIN", Target: "bitcoin", Period: 24 * time.Hour}
	ethereumSeeds  = seed.Currency{ID: 1, Name: "ETHEREUM", Target: "mainnet", Period: 24 * time.Hour}
	newspaperSeeds = seed.Currency{ID: Newspaper, Name: "SÜDKURIER", Target: "publication", Period: 7 * 24 * time.Hour}
	allCurrencies  = []seed.Currency{bitcoinSeeds, ethereumSeeds, newspaperSeeds}
)

func written(t *testing.T, v any) string {
	t.Helper()
	b, err := JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n%s\nand the contract has\n%s", what, got, want)
	}
}

func TestSamples(t *testing.T) {
	const a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	made := seed.Submitted{Hash: hash(a), Created: time.UnixMilli(1777630000000), Comment: "build 17"}
	queued := []seed.State{{Seed: seed.Seed{UID: id("6f1f1b7a-6d7c-4c5f-9d3c-1d9c3c0f8a55"), Target: "bitcoin"}}}
	begin := `{"error_code":0,"error_message":null,"data":{"created":true,"date_created":1777630000000,"comment":"build 17","hash_string":"` + a + `","timestamps":[{`
	end := `"currency_id":0,"transaction":null,"private_key":null,"timestamp":null,"submit_status":0}]}}`
	same(t, "create of version 4", written(t, envelope{Data: responseOf(made, queued, allCurrencies, true, true)}), begin+`"seed_id":"6f1f1b7a-6d7c-4c5f-9d3c-1d9c3c0f8a55",`+end)
	same(t, "create of version 3", written(t, envelope{Data: responseOf(made, queued, allCurrencies, true, false)}), begin+end)

	known := seed.Submitted{Hash: hash("2c5d36be542f8f0e7345d77753a5d7ea61a443ba6a9a86bb060332ad56dba38e"), Created: time.UnixMilli(1541203188245)}
	final := seed.State{
		Seed:   seed.Seed{UID: id("f98a61e8-22bd-4ea5-ab9e-02723ff78c40"), Target: "bitcoin", Root: hash("5e92ec09501a5d39e251a151f84b5e2228312c445eb23b4e1de6360e27bad54b")},
		Status: seed.Final, Ref: "aed3db9ef94953f65e93d56a4e5bcf234d43e27a1b3e7ce0f274cc7ed750d0e2", Time: time.UnixMilli(1541203656000),
	}
	queued[0].Target = "mainnet"
	removed := seed.State{Seed: seed.Seed{Target: "removed"}, Status: seed.Final}
	hook := `{"created":false,"date_created":1541203188245,"comment":null,"hash_string":"2c5d36be542f8f0e7345d77753a5d7ea61a443ba6a9a86bb060332ad56dba38e","timestamps":[{"seed_id":"f98a61e8-22bd-4ea5-ab9e-02723ff78c40","currency_id":0,"transaction":"aed3db9ef94953f65e93d56a4e5bcf234d43e27a1b3e7ce0f274cc7ed750d0e2","private_key":"5e92ec09501a5d39e251a151f84b5e2228312c445eb23b4e1de6360e27bad54b","timestamp":1541203656000,"submit_status":3}]}`
	same(t, "a webhook", written(t, Payload(known, []seed.State{queued[0], removed, final}, allCurrencies)), hook)

	same(t, "a hash in no seed", written(t, responseOf(known, nil, allCurrencies, false, true)),
		`{"created":false,"date_created":1541203188245,"comment":null,"hash_string":"2c5d36be542f8f0e7345d77753a5d7ea61a443ba6a9a86bb060332ad56dba38e","timestamps":[]}`)
	same(t, "usage", written(t, envelope{Data: usageOf{50, 48.7, 1.3, 0, 1, 0, 0, 0}}),
		`{"error_code":0,"error_message":null,"data":{"credits_per_month":50.0,"remaining_credits":48.7,"consumed_credits":1.3,"timestamps_per_month":0,"consumed_timestamps":1,"certificate_per_month":0,"consumed_certificates":0,"limitation_type":0}}`)
	same(t, "a link", written(t, link{"https://HOST/v3/timestamp/proof/download?token=T&name=N", "proof.Bitcoin.ca.xml", 2826}),
		`{"download_url":"https://HOST/v3/timestamp/proof/download?token=T&name=N","file_name":"proof.Bitcoin.ca.xml","file_size_bytes":2826}`)
	same(t, "currencies", written(t, []currency{{0, "BITCOIN"}, {1, "ETHEREUM"}}), `[{"currency_id":0,"currency":"BITCOIN"},{"currency_id":1,"currency":"ETHEREUM"}]`)
	same(t, "a schedule", written(t, submissionTime{1777630000000}), `{"submission_time":1777630000000}`)
	same(t, "register", written(t, void{}), `{"error_code":0,"error_message":null}`)
	same(t, "information", written(t, information{Hash: "ca"}), `{"currency":0,"hash":"ca","executed":false,"success":false,"tries":0}`)
}

// What is shown of a seed grows with its status, in each kind of currency; a currency that is none any more is left out.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		currency seed.Currency
		ref      string
	}{{bitcoinSeeds, strings.Repeat("ab", 32)}, {ethereumSeeds, "0x" + strings.Repeat("cd", 32)}, {newspaperSeeds, "2021-03-16"}} {
		root := hash(strings.Repeat("11", 32))
		state := seed.State{Seed: seed.Seed{Target: c.currency.Target, Root: root}, Ref: c.ref, Time: time.Unix(1615852800, 0)}
		for status, want := range []string{
			`{"currency_id":%d,"transaction":null,"private_key":null,"timestamp":null,"submit_status":0}`,
			`{"currency_id":%d,"transaction":null,"private_key":"ROOT","timestamp":null,"submit_status":1}`,
			`{"currency_id":%d,"transaction":"REF","private_key":"ROOT","timestamp":null,"submit_status":2}`,
			`{"currency_id":%d,"transaction":"REF","private_key":"ROOT","timestamp":1615852800000,"submit_status":3}`,
		} {
			state.Status = seed.Status(status)
			want = strings.NewReplacer("REF", c.ref, "ROOT", hex.EncodeToString(root[:])).Replace(fmt.Sprintf(want, c.currency.ID))
			same(t, fmt.Sprintf("status %d of %s", status, c.currency.Name), written(t, dataOf(state, c.currency, false)), want)
		}
	}
	states := []seed.State{{Seed: seed.Seed{Target: "publication"}}, {Seed: seed.Seed{Target: "bitcoin"}}, {Seed: seed.Seed{Target: "mainnet"}}}
	var ids []int
	for _, d := range responseOf(seed.Submitted{}, states, allCurrencies, false, true).Timestamps {
		ids = append(ids, d.CurrencyID)
	}
	if fmt.Sprint(ids) != "[0 1 100]" {
		t.Errorf("the currencies come as %v", ids)
	}
}

// The README has every number, and no other.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, c := range Codes {
		if !strings.Contains(string(text), fmt.Sprintf("\n| %d | %s |\n", c.Code, c.Meaning)) {
			t.Errorf("README.md has no row %d: %s", c.Code, c.Meaning)
		}
	}
	for line := range strings.Lines(string(text)) {
		var n int
		if read, _ := fmt.Sscanf(line, "| %d |", &n); read == 1 {
			rows++
		}
	}
	if rows != len(Codes) {
		t.Errorf("README.md has %d numbers and the package %d", rows, len(Codes))
	}
}

// A token is good on every node with the key, and nothing in it can be changed.
func TestToken(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	here, there := &Server{config: Config{LinkKey: key}}, &Server{config: Config{LinkKey: key}}
	foreign := &Server{config: Config{LinkKey: []byte(strings.Repeat("x", 32))}}
	want := ticket{hash(strings.Repeat("ab", 32)), 100, certificateKind, time.Unix(1777630000, 0)}
	token := here.seal(want)
	if got, err := there.unseal(token); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := foreign.unseal(token); errorOf(err).Code != CodeToken {
		t.Errorf("a foreign token: %v", err)
	}
	for i := range token {
		changed := []byte(token)
		if changed[i]++; changed[i] == 'z'+1 || changed[i] == 'Z'+1 || changed[i] == '9'+1 || changed[i] == '-'+1 || changed[i] == '_'+1 {
			changed[i] = 'A'
		}
		if _, err := here.unseal(string(changed)); errorOf(err).Code != CodeToken {
			t.Errorf("character %d was changed: %v", i, err)
		}
		if _, err := here.unseal(token[:i]); errorOf(err).Code != CodeToken {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := here.unseal(token + "A"); errorOf(err).Code != CodeToken {
		t.Errorf("with more after it: %v", err)
	}
}
