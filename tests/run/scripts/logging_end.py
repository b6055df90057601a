import logging
import sys

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", force=True)
logging.warning("careful")
logging.getLogger("x").error("bad")
