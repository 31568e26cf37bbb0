"""The script of the isolated process: `python -I launch.py SETTINGS`, SETTINGS as JSON.

It is run by its path, in isolated mode: neither the current folder nor PYTHONPATH nor the user's
own site folder decides what is imported. It takes the package from where the parent has it.
"""

import importlib.util
import json
import os
import sys


def main() -> None:
    settings = json.loads(sys.argv[1])
    sys.dont_write_bytecode = True
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.path += [path for path in settings["libraries"] if path not in sys.path]
    package = settings["package"]
    spec = importlib.util.spec_from_file_location(
        "tf_compleak", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["tf_compleak"] = module
    spec.loader.exec_module(module)
    from tf_compleak.inference.isolated import worker

    worker.main(settings)


if __name__ == "__main__":
    main()
