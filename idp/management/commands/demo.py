"""Tell the demonstration's story on the terminal, against the running server (idp/story).

Finds the server by WARDKEY_DATA_DIR, like every command. A person sees colours and the step that is being played; a
pipe gets plain lines. Ends with status 1 when anything came back that should not have.

Invariant: however it ends, Dr Okafor has access to Rosa again.
"""

import argparse
import os
import signal
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.management.color import no_style
from django.db import DatabaseError

from accounts.operations.refusals import Refused
from idp.story import stage
from idp.story.acts import Story
from idp.story.wire import StoryBroken

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLUMN = 60


class Command(BaseCommand):
    help = "Tell the demonstration's story against the running server: who may see Rosa, and who may not."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Start the server first, in another terminal: python3 manage.py up"

    def handle(self, *, force_color: bool, **options: Any) -> None:
        if os.environ.get("NO_COLOR") and not force_color:
            self.style = no_style()
        self.live = self.stdout.isatty()
        self.doing, self.steps, self.wrong = "", 0, 0
        began = time.monotonic()
        try:
            found = stage.find()
            with stage.to_ourselves(self.stdout.write):
                began = time.monotonic()
                self.stdout.write(f"Wardkey at {found.address}. Every person and record here is made up.")
                self.play(Story(found, self))
        except (StoryBroken, Refused) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The database did not answer: {' '.join(str(error).split())}") from error
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), self.stdout.fileno()
            )  # or the interpreter complains at its end
            raise CommandError(
                "Nobody reads the story any more; Dr Okafor may see Rosa, as before."
            ) from None
        except OSError as error:
            raise CommandError(f"The story cannot be told: {error.strerror or error}.") from error
        if self.wrong:
            raise CommandError(f"{self.wrong} of {self.steps} steps did not come out as they should.")
        told = f"{self.steps} steps, each as it should be, in {time.monotonic() - began:.1f} s."
        self.stdout.write(self.style.SUCCESS(f"\n{told} Dr Okafor may see Rosa, as before."))

    def play(self, story: Story) -> None:
        """Tell the story and put everything back, whatever happens. Raises CommandError when it was interrupted."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            for number in SIGNALS:  # whatever asks this command to end ends it like Ctrl-C
                if before[number] is not signal.SIG_IGN:
                    signal.signal(number, signal.default_int_handler)
            story.put_back()  # a story that was killed could not
            story.tell()
        except KeyboardInterrupt:
            raise CommandError("Stopped half-way; Dr Okafor may see Rosa, as before.") from None
        finally:
            self.clear()
            for number in SIGNALS:
                signal.signal(
                    number, signal.SIG_IGN
                )  # putting back takes no second, and is not to be cut short
            story.put_back()
            for number in SIGNALS:
                signal.signal(number, before[number])

    def act(self, title: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"\n{title}"))

    def begin(self, doing: str) -> None:
        self.doing = doing
        self.progress("")

    def progress(self, text: str) -> None:
        """Rewrite the line of the running step, where a person watches."""
        if self.live:
            self.stdout.write(f"\r\033[K  ...   {self.doing:{COLUMN}} {text}", ending="")
            self.stdout.flush()

    def clear(self) -> None:
        if self.live:
            self.stdout.write("\r\033[K", ending="")

    def end(self, came: str, *, right: bool) -> None:
        self.steps, self.wrong = self.steps + 1, self.wrong + (not right)
        self.clear()
        mark = self.style.SUCCESS("ok   ") if right else self.style.ERROR("WRONG")
        self.stdout.write(f"  {mark} {self.doing:{COLUMN}} {came}")

    def line(self, text: str) -> None:
        self.stdout.write(f"  {text}")
