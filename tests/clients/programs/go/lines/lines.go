// Package lines is what the programs have in common: one call for each line of standard input.
package lines

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// Serve prints the version of the module, then what each call gives.
func Serve(module string, call func() (string, error)) {
	fmt.Println(version(module))
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		if found, err := call(); err != nil {
			fmt.Println("error", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok", found)
		}
	}
}

func version(module string) string {
	build, _ := debug.ReadBuildInfo()
	for _, each := range build.Deps {
		if each.Path == module {
			return each.Version
		}
	}
	panic("not built with " + module)
}
