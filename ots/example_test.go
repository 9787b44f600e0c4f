package ots_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/datestone/datestone/ots"
)

// A proof byte by byte, read, evaluated and written.
func Example() {
	raw, err := hex.DecodeString("" +
		"004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e89294" + // magic
		"01" + // version
		"08" + // the digest is a sha256
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" + // of an empty file
		"f0" + "04" + "6e6f6e63" + // append four bytes
		"08" + // sha256
		"ff" + // an item that is not the last:
		"00" + "83dfe30d2ef90c8e" + "0e" + "0d" + "687474703a2f2f612e74657374" + // pending at http://a.test
		"f1" + "01" + "00" + // prepend one byte
		"08" + // sha256
		"00" + "0588960d73d71901" + "03" + "e8941a") // bitcoin, block 428648
	if err != nil {
		log.Fatal(err)
	}
	file, err := ots.ParseFile(raw)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v of the file: %x...\n", file.HashOp, file.Digest[:4])
	err = file.Timestamp.Walk(file.Digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			fmt.Printf("%x... %v\n", msg[:4], a)
		}
		for _, b := range n.Branches() {
			fmt.Println("  " + b.Path.String())
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	out, err := file.AppendBinary(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("canonical:", string(out) == string(raw))
	// Output:
	// sha256 of the file: e3b0c442...
	//   append 6e6f6e63, sha256
	// e94a4536... PendingAttestation('http://a.test')
	//   prepend 00, sha256
	// b96e2ced... BitcoinBlockHeaderAttestation(428648)
	// canonical: true
}

// Three digests are stamped with one submission of the root.
func ExampleMerkleTree() {
	leaves := [][32]byte{{1}, {2}, {3}}
	tree := ots.MerkleTree(leaves)
	root := tree.Root()
	fmt.Printf("root %x...\n", root[:4])
	for i, leaf := range leaves {
		end, err := tree.Path(i).Apply(leaf[:])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(tree.Path(i).Len(), "operations to the root:", string(end) == string(root[:]))
	}
	// Output:
	// root 16d2f27b...
	// 4 operations to the root: true
	// 4 operations to the root: true
	// 2 operations to the root: true
}
