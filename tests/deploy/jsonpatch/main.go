// Applies JSON patches with the package that the API server applies those of webhooks with.
//
// Each line of the input is an object of a document and a patch; each line of the output is the patched document.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

type task struct {
	Document json.RawMessage `json:"document"`
	Patch    json.RawMessage `json:"patch"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		patched, err := apply(lines.Bytes())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(string(patched))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func apply(line []byte) ([]byte, error) {
	var given task
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	patch, err := jsonpatch.DecodePatch(given.Patch)
	if err != nil {
		return nil, err
	}
	return patch.Apply(given.Document)
}
