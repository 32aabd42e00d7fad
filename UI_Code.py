"""Start the desktop app: python UI_Code.py [recordings or folders]."""

import sys

if __name__ == "__main__":  # the captioner's process imports this file too and must not open a second window
    try:
        from ui.app import main
    except ImportError as error:
        print(f"the desktop app's libraries are missing ({error}): run bash env.sh --ui.", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
