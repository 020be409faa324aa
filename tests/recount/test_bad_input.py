"""The cases of bad_input were each given their code by hand; here the recount's own decoder has to agree with every one."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bad_input
from decode import Decoder

RECORD_TIMESTAMP = 1_760_000_000_000
CODES = ["null", "empty", "oversized", "not_utf8", "not_json", "not_object", "key_missing", "key_invalid", "time_invalid", "time_future"]


class Cases(unittest.TestCase):
    def test_the_decoder_agrees(self):
        decoder = Decoder(["video_id", "videoId"], ["view_timestamp", "timestamp"], bad_input.MAX_BYTES, bad_input.MAX_KEY_BYTES)
        for name, value, expect in bad_input.cases():
            with self.subTest(name=name):
                key, time, code = decoder.decode(value, RECORD_TIMESTAMP)
                if expect.get("code") == "time_future":
                    self.assertIsNone(code)
                    self.assertGreater(time, 4_000_000_000_000)
                elif "code" in expect:
                    self.assertEqual(code, expect["code"])
                else:
                    expected = RECORD_TIMESTAMP if expect["time"] == "record" else expect["time"]
                    self.assertEqual((key, time, code), (expect["key"], expected, None))

    def test_every_code_occurs_and_names_differ(self):
        found = bad_input.cases()
        self.assertEqual({expect.get("code") for _, _, expect in found}, {*CODES, None})
        self.assertEqual(len({name for name, _, _ in found}), len(found))

    def test_same_seed_same_order(self):
        self.assertEqual(list(bad_input.mixed(3)), list(bad_input.mixed(3)))
        self.assertNotEqual(list(bad_input.mixed(3)), list(bad_input.mixed(4)))


if __name__ == "__main__":
    unittest.main()
