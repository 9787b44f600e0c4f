"""A client of OriginStamp's API, versions 3 and 4, written from its documentation with the standard library alone.

usage: originstamp.py URL KEY NODE
URL is the service, NODE the RPC of the chain, http://user:password@host:port. It submits hashes, waits until they are
tamper-proof, verifies the proofs against the chain, and ends with 0 when all is as the documentation says.
"""

import base64
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree

URL, KEY, NODE = sys.argv[1:]
ENVELOPE = ["error_code", "error_message", "data"]
RESPONSE = ["created", "date_created", "comment", "hash_string", "timestamps"]
DATA = ["seed_id", "currency_id", "transaction", "private_key", "timestamp", "submit_status"]
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
PATIENCE = 150


def check(true, *what):
    if not true:
        sys.exit("not as documented: " + " ".join(map(str, what)))


def same(got, want, what):
    check(got == want, what, "is", repr(got), "and not", repr(want))


def ask(method, path, body=None, key=KEY, raw=False, status=200):
    """One request as the generated clients make it: always with a content type, and the bare key."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = key
    data = json.dumps(body).encode() if body is not None else None
    url = path if path.startswith("http") else URL + path
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            got, text, fields = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as e:
        got, text, fields = e.code, e.read(), e.headers
    same(got, status, f"the status of {method} {path} ({text[:200]!r})")
    return (text, fields) if raw else json.loads(text)


def good(method, path, body=None):
    answer = ask(method, path, body)
    same(list(answer), ENVELOPE, "the envelope of " + path)
    same([answer["error_code"], answer["error_message"]], [0, None], path)
    return answer["data"]


def bad(method, path, code, body=None, key=KEY, status=200):
    answer = ask(method, path, body, key, status=status)
    same(list(answer), ENVELOPE, "the envelope of " + path)
    same([answer["error_code"], answer["data"]], [code, None], f"{path} with {body}")
    check(re.search(rf"\S \[{UUID}\]$", answer["error_message"]), "the message", answer["error_message"])
    return answer["error_message"]


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def timestamps(response, v4):
    same(list(response), RESPONSE, "the keys")
    for data in response["timestamps"]:
        same(list(data), DATA if v4 else DATA[1:], "the keys of a timestamp")
    return response["timestamps"]


class Hook(http.server.BaseHTTPRequestHandler):
    got = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Hook.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def called(path):
    return [(kind, body) for where, kind, body in Hook.got if where == path]


def node(method, *params):
    place = urllib.parse.urlsplit(NODE)
    request = urllib.request.Request(
        f"http://{place.hostname}:{place.port}",
        json.dumps({"id": 1, "method": method, "params": params}).encode(),
        {"Authorization": "Basic " + base64.b64encode(f"{place.username}:{place.password}".encode()).decode()},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["result"]


def wait(what, found):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = found()
        if result:
            return result
        time.sleep(0.3)
    sys.exit("waited in vain until " + what)


def root(element):
    """The root of a proof, recomputed: a parent is the SHA-256 of its children's hexadecimal digits."""
    children = {child.tag: child for child in element}
    if not children:
        return element.get("value")
    same(sorted(children), ["left", "right"], "the children of a node")
    made = sha256(root(children["left"]) + root(children["right"]))
    same(element.get("value"), made, "a node")
    return made


def main():
    hooks = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["HOOK_PORT"])), Hook)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    hook = f"http://127.0.0.1:{hooks.server_port}/hook?id=17&x=%20y"
    second = f"http://127.0.0.1:{hooks.server_port}/second"
    name = os.urandom(8).hex()
    hash_string = sha256(name)

    for method, path in [
        ("POST", "/v3/timestamp/create"), ("POST", "/v4/timestamp/create"), ("POST", "/v4/timestamp/bulk/create"),
        ("GET", "/v3/timestamp/" + hash_string), ("GET", "/v4/timestamp/" + hash_string), ("GET", "/v3/api_key/usage"),
        ("GET", "/v3/currencies/get"), ("POST", "/v3/timestamp/proof/url"), ("POST", "/v3/webhook/register"),
    ]:
        for key in [None, "d3d00ee5-3b6a-4f9b-8a7b-0a9c1f0e7b11"]:
            message = bad(method, path, 3201, {} if method == "POST" else None, key)
            check(message.startswith("You do not have a valid API key. ["), message)

    same(good("GET", "/v3/currencies/get"), [{"currency_id": 0, "currency": "BITCOIN"}], "the currencies")
    before = good("GET", "/v3/api_key/usage")
    closes = good("POST", "/v3/submission/times", {"currency": 0})["submission_time"]
    check(closes > time.time() * 1000 - 2000, "the next submission is", closes)

    # Unknown, created, known.
    bad("GET", "/v4/timestamp/" + hash_string, 3301)
    request = {
        "hash": hash_string.upper(), "comment": "build 17 <ü>",
        "notifications": [
            {"currency": 0, "notification_type": 1, "target": hook}, {"currency": 0, "notification_type": 0, "target": "ops@example.org"},
        ],
    }
    made = good("POST", "/v4/timestamp/create", request)
    same([made["created"], made["comment"], made["hash_string"]], [True, "build 17 <ü>", hash_string], "what was created")
    check(abs(made["date_created"] - time.time() * 1000) < 60_000, "the date", made["date_created"])
    (queued,) = timestamps(made, True)
    seed = queued["seed_id"]
    check(re.fullmatch(UUID, seed), "the seed", seed)
    same(queued, {"seed_id": seed, "currency_id": 0, "transaction": None, "private_key": None, "timestamp": None, "submit_status": 0}, "the seed")
    again = good("POST", "/v3/timestamp/create", {"hash": hash_string, "comment": "another"})
    same([again["created"], again["comment"], again["date_created"]], [False, made["comment"], made["date_created"]], "what is known")
    timestamps(again, False)
    same(good("POST", "/v4/timestamp/create", {"hash": sha256(name + "bare")})["comment"], None, "no comment")

    # Bulk: an array at the top, in order, a bad element by itself.
    hashes = [sha256(f"{name} {i}") for i in range(100)]
    wish = [{"hash": h} for h in hashes]
    wish[7] = {"hash": hashes[7][:40]}
    answers = ask("POST", "/v4/timestamp/bulk/create", {"timestamps": wish})
    check(isinstance(answers, list) and len(answers) == 100, "bulk answers", str(answers)[:200])
    for i, one in enumerate(answers):
        same(list(one), ENVELOPE, "an envelope in bulk")
        if i == 7:
            same([one["error_code"], one["data"]], [3101, None], "the bad element")
            continue
        same([one["error_code"], one["data"]["hash_string"], one["data"]["created"]], [0, hashes[i], True], "an element")
        timestamps(one["data"], True)
    bad("POST", "/v4/timestamp/bulk/create", 3104, {"timestamps": wish + wish[:1]})
    after = good("GET", "/v3/api_key/usage")
    same(after["consumed_credits"] - before["consumed_credits"], 101, "what was consumed")
    same(after["credits_per_month"] - after["consumed_credits"], after["remaining_credits"], "what remains")

    uid = "7d9f1c0a-4b1e-4c7e-9a51-" + name[:12]
    page = sha256(name + " printed")
    bad("GET", "/v3/timestamp/url/" + uid, 3306)
    good("POST", "/v3/timestamp/create", {"hash": page, "url": uid})
    same(good("GET", "/v3/timestamp/url/" + uid)["hash_string"], page, "the hash of the printed page")
    bad("POST", "/v3/timestamp/create", 3107, {"hash": sha256(name + " other"), "url": uid})

    # Webhooks.
    triple = {"currency": "0", "hash": hash_string, "target": second}
    text, _ = ask("POST", "/v3/webhook/register", triple, raw=True)
    same(text, b'{"error_code":0,"error_message":null}', "register")
    same(good("POST", "/v3/webhook/information", triple), {"currency": 0, "hash": hash_string, "executed": False, "success": False, "tries": 0}, "information")
    started = good("POST", "/v3/webhook/start", {"hash": hash_string, "webhook_url": second})
    check(isinstance(started, str) and "204" in started, "start says", started)
    ((kind, body),) = called("/second")
    same(kind, "application/json", "the type of a webhook")
    timestamps(body, True)
    bad("POST", "/v3/timestamp/proof/url", 3303, {"currency": 0, "hash_string": hash_string, "proof_type": 0})

    # Tamper-proof.
    seen = []

    def final():
        data = good("GET", "/v4/timestamp/status/seed/" + seed)
        same(list(data), DATA, "the keys of a seed")
        if data["submit_status"] not in seen:
            seen.append(data["submit_status"])
        shown = [data["private_key"] is not None, data["transaction"] is not None, data["timestamp"] is not None]
        same(shown, [data["submit_status"] >= n for n in (1, 2, 3)], f"what is shown at {data['submit_status']}")
        return data if data["submit_status"] == 3 else None

    state = wait("the seed is tamper-proof", final)
    print("statuses seen:", seen)
    known = good("GET", "/v4/timestamp/" + hash_string)
    same([known["created"], timestamps(known, True)], [False, [state]], "the hash with its seed")

    transaction = node("getrawtransaction", state["transaction"], 1)
    same(transaction["vout"][0]["scriptPubKey"]["hex"], "6a20" + state["private_key"], "the first output")
    block = node("getblockheader", transaction["blockhash"])
    same(state["timestamp"], block["time"] * 1000, "the time")

    want = {"currency": "0", "hash_string": hash_string, "proof_type": 0}
    link = good("POST", "/v3/timestamp/proof/url", want)
    same(list(link), ["download_url", "file_name", "file_size_bytes"], "the keys of a link")
    same(link["file_name"], f"proof.Bitcoin.{hash_string}.xml", "the name")
    check(link["download_url"].startswith(URL + "/v3/timestamp/proof/download?token="), link["download_url"])
    file, fields = ask("GET", link["download_url"], key=None, raw=True)
    same(fields["Content-Disposition"], f'attachment; filename="{link["file_name"]}"', "the file's name")
    same(len(file), link["file_size_bytes"], "the size")
    check(file.startswith(b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><node value="'), file[:100])
    same(ask("POST", "/v3/timestamp/proof", want, raw=True)[0], file, "the older request's file")
    proof = file
    tree = xml.etree.ElementTree.fromstring(file)
    same([tree.tag, tree.get("type"), root(tree)], ["node", "key", state["private_key"]], "the root")
    check(hash_string in [e.get("value") for e in tree.iter() if e.get("type") == "hash"], "the hash is not in its proof")
    changed = link["download_url"].replace("token=", "token=A")
    bad("GET", changed, 3305, key=None)

    want["proof_type"] = 1
    link = good("POST", "/v3/timestamp/proof/url", want)
    same(link["file_name"], f"certificate.Bitcoin.{hash_string}.pdf", "the name")
    for file, fields in [ask("GET", link["download_url"], key=None, raw=True), ask("POST", "/v3/timestamp/proof", want, raw=True)]:
        check(file.startswith(b"%PDF-") and ".pdf" in fields["Content-Disposition"], "the certificate", file[:20], fields)

    # The webhooks of the seed: bare, with what is tamper-proof.
    wait("the webhooks are sent", lambda: len(called("/hook?id=17&x=%20y")) and len(called("/second")) > 1)
    for path in ["/hook?id=17&x=%20y", "/second"]:
        kind, body = called(path)[-1]
        same(kind, "application/json", "the type of a webhook")
        same([body["created"], body["hash_string"], timestamps(body, True)], [False, hash_string, [state]], "a webhook's body")
    wait("the webhook's success is known", lambda: good("POST", "/v3/webhook/information", triple)["success"])
    done = good("POST", "/v3/webhook/information", triple)
    check(done["executed"] and done["tries"] >= 1, "information says", done)

    # What everybody may see, without a key.
    page, fields = ask("GET", "/s/" + hash_string, key=None, raw=True)
    check(fields["Content-Type"].startswith("text/html"), "the page is", fields["Content-Type"])
    for text in [hash_string, state["private_key"], state["transaction"], "Bitcoin: Tamper-proof", "build 17 &lt;ü&gt;", "TEST NETWORK"]:
        check(text in page.decode(), "the page has not", text)
    same(ask("GET", f"/s/{hash_string}/0.xml", key=None, raw=True)[0], proof, "the public proof")
    check(ask("GET", f"/s/{hash_string}/0.pdf", key=None, raw=True)[0].startswith(b"%PDF-"), "the public certificate is none")
    check(b"Nothing has been submitted here yet" in ask("GET", "/u/" + str(uuid.uuid4()), key=None, raw=True)[0], "a page to print is not there")
    found = json.loads(ask("GET", "/api/v1/public/comments?q=BUILD+17", key=None, raw=True)[0])
    same([c for c in found["data"] if c["hash_string"] == hash_string], [{
        "hash_string": hash_string, "date_created": made["date_created"], "comment": "build 17 <ü>", "url": f"{URL}/s/{hash_string}",
    }], "the comments that are found")


main()
