#!/usr/bin/python3
"""Verifies proofs by the rules of the verifiers that users have, which do not agree on what they accept.

usage: verify.py HASH ROOT < proof.xml

Prints "valid" three times, or what is wrong. Python's standard library alone.
"""

import hashlib
import sys
import xml.etree.ElementTree as ElementTree


def join(left, right):
    return hashlib.sha256((left + right).encode("ascii")).hexdigest()


def children(node):
    found = list(node)
    assert len(found) in (0, 2), "a node has %d children" % len(found)
    if found:
        assert [c.tag for c in found] == ["left", "right"], "children are not left, right"
    return found


def recompute(root, leaf):
    """Recomputes every parent, each by itself; the hash is anywhere in the tree."""
    seen = set()

    def visit(node):
        seen.add(node.attrib["value"])
        found = children(node)
        if found:
            assert node.attrib["value"] == join(*(c.attrib["value"] for c in found)), "a parent is not that of its children"
        for child in found:
            visit(child)

    visit(root)
    assert leaf in seen, "the hash is not in the tree"


def descend(root, leaf):
    """Goes down the one child of each level that has children itself, to the hash."""
    node = root
    while True:
        found = children(node)
        assert node.attrib["value"] == join(*(c.attrib["value"] for c in found)), "a parent is not that of its children"
        expanded = [c for c in found if len(c)]
        assert len(expanded) <= 1, "two children are expanded"
        if not expanded:
            assert leaf in [c.attrib["value"] for c in found if c.attrib["type"] == "hash"], "the hash is not at the end"
            return
        node = expanded[0]


def climb(root, leaf):
    """Keeps nodes by their value, the last of each, and goes up from the one hash."""
    index = {}

    def keep(node, parent):
        found = children(node)
        for child in found:
            keep(child, node.attrib["value"])
        index[node.attrib["value"]] = (node, parent, found)

    # In the order of the document, as a recursive reader stores what it has read.
    keep(root, None)
    hashes = [v for v, (n, _, _) in index.items() if n.attrib["type"] == "hash"]
    assert hashes == [leaf], "there is not one hash: %s" % hashes
    value = leaf
    for _ in range(100):
        node, parent, _ = index[value]
        if parent is None:
            assert node is root, "the way up does not end at the root"
            return
        left, right = index[parent][2]
        assert {"left": left, "right": right}[node.tag].attrib["value"] == value, "a node is not in its place"
        assert join(left.attrib["value"], right.attrib["value"]) == parent, "a parent is not that of its children"
        value = parent
    raise AssertionError("the way up has no end")


def main():
    leaf, top = sys.argv[1:]
    root = ElementTree.fromstring(sys.stdin.buffer.read())
    assert root.tag == "node" and root.attrib["type"] == "key", "the root is no key"
    assert root.attrib["value"] == top, "another root"
    for check in (recompute, descend, climb):
        try:
            check(root, leaf)
            print("valid")
        except (AssertionError, ValueError) as e:
            print("%s: %s" % (check.__name__, e))


main()
