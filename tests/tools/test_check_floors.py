"""tools/check_floors on small trees of its own: a good one passes, and each kind of mistake is found and named."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_floors"
TABLE = """# Title

| floor | folder | what | may use | libraries |
| ---: | --- | --- | --- | --- |
| 0 | `base/` | ground | - | fmt |
| 1 | `formats/` | files | base | nlohmann-json |
| 2 | `contract/` | ops | base | - |
| 3 | `chips/cpu/` | a chip | contract | - |
| 8 | `cli/` | the program | all | - |

| other | table |
| --- | --- |
"""
GOOD = {
    "base/result.h": "#include <fmt/format.h>\n#include <string>\n",
    "formats/json.h": '#include <nlohmann/json.hpp>\n#include "base/result.h"\n',
    "contract/ops.h": '#include "base/result.h"\n',
    "chips/cpu/chip.cpp": '#include "base/result.h"\n#include "contract/ops.h"\n#include "chips/cpu/chip.h"\n',
    "chips/cpu/chip.h": "",
    "cli/main.cpp": '#include "chips/cpu/chip.h"\n#include "formats/json.h"\n',
}


class CheckFloors(unittest.TestCase):
    def check(self, files, table=TABLE):
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root)
            (root / "ARCHITECTURE.md").write_text(table)
            for name, text in files.items():
                path = root / "src" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, CHECKER, root], capture_output=True, text=True)
            return done.returncode, done.stderr

    def assert_found(self, words, files=(), table=TABLE):
        status, errors = self.check({**GOOD, **dict(files)}, table)
        self.assertEqual(status, 1, errors)
        self.assertIn(words, errors)

    def test_good_tree_passes(self):
        self.assertEqual(self.check(GOOD), (0, ""))

    def test_upward(self):
        self.assert_found('src/base/result.h:1: base may not use contract', {"base/result.h": '#include "contract/ops.h"\n'})

    def test_sideways(self):
        self.assert_found("formats may not use contract", {"formats/json.h": '#include "contract/ops.h"\n'})

    def test_not_the_full_path(self):
        self.assert_found('"chip.h" is no path from src/', {"chips/cpu/chip.cpp": '#include "chip.h"\n'})

    def test_library_without_a_right(self):
        self.assert_found("contract does not name the library nlohmann-json",
                          {"contract/ops.h": "#  include <nlohmann/json.hpp>\n"})

    def test_folder_without_a_row(self):
        self.assert_found("src/server/http.h: its folder is not in the table", {"server/http.h": ""})

    def test_row_without_a_folder(self):
        self.assert_found("src/engine, which is not there",
                          table=TABLE.replace("| 8 |", "| 6 | `engine/` | runs | contract | - |\n| 8 |"))

    def test_row_that_points_up(self):
        self.assert_found("names contract above it", table=TABLE.replace("| files | base |", "| files | base, contract |"))

    def test_no_table(self):
        self.assert_found("no table of floors", table="# Title\n")


if __name__ == "__main__":
    unittest.main()
