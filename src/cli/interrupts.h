// Interrupts: Ctrl-C, and the signals that ask a program to end, as a flag that long work looks at between two steps.
#pragma once

#include <cstdint>
#include <string_view>

namespace naru::cli {

// From here on the first one is kept for is_interrupted(), and a second one, where nobody forgot the first, ends the
// program at once, with interrupt_status() and nothing half-written left behind. Also makes writes to a closed pipe,
// and past the limit of a file's size, errors instead of the end of the program. A signal that was ignored when the
// program began stays ignored.
void install_interrupts();

// From now on the first one ends the program, unfinished outputs removed: for work that never looks at the flag.
void end_at_first_interrupt();

// From now on a hang-up asks for files to be read again (take_reload), as service managers and log rotation send it.
// One that comes because the terminal of the program has gone ends it as before.
void reload_at_hangup();
// Whether that was asked for since the last call.
bool take_reload();

// Said on a terminal at the first signal from now on; the text lives as long as the program.
void say_at_interrupt(std::string_view text);
// True if there was one since the last forget_interrupts().
bool is_interrupted();
void forget_interrupts();
// The last one asked the program to end (not Ctrl-C).
bool is_asked_to_end();
// The exit status of work that was stopped: 128 and the number of the last signal, as shells have it (130 Ctrl-C, 143
// terminate, 129 hang-up); 130 where no signal came, for Ctrl-C that was read as a key.
int interrupt_status();

// Waits until there is something to read (true), or there was an interrupt or a reload is asked for (false), before the
// call or during it: no signal falls between the look at it and the wait, in whichever thread it comes.
bool wait_to_read(int fd);

}  // namespace naru::cli
