#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

// Who says what while a process is made. One SOCK_SEQPACKET pair; each message is one letter and a
// text, some carry descriptors. What the parent prepared before clone3 needs no message: the child
// has the parent's memory and descriptors by fork, nothing is serialised to it.
//
//  parent                                      child
//  clone3(namespaces, pidfd[, cgroup])    ->
//  writes the id maps; `go` (idmapped     ->   waits for `go` if there is anything to wait for;
//  mounts as descriptors)                      then becomes root inside and non-dumpable
//  runs on_child (the state is saved)          at the same time builds its file system
//  runs prestart, createRuntime hooks     <-   `need_hooks`   mounts done, not yet pivoted
//  `hooks_done`                           ->   createContainer hooks, pivot
//                                         <-   `log` | `error`  at any time
//                                         <-   `listener`     a seccomp filter with a listener is
//  takes its descriptor by pidfd_getfd         loaded now, else as the last act
//                                         <-   `ready`        argv[0] is found
//  `created` (the state is saved)         ->   with a fifo: from now on the parent may go away
//  state: created
//  `start` (or a byte in the fifo)        ->   startContainer hooks, last confinement, exec
//  end of file                            <-   exec has closed the socket: the program runs
//
//  With start_at_once the parent sends `start` as soon as on_child has returned and its hooks have
//  run, and the child does not say `ready`: it finds `start` waiting for it, and the parent waits
//  for the end of file only.
//
// A joined pid or user namespace, and a time namespace with offsets, apply to children only. Then
// there is one more process, which ends before the child does anything:
//
//  parent                     middle                              child
//  clone3([user])        ->   waits if it has a new user namespace
//  id maps, `maps_done`  ->   joins user, pid, time; offsets
//                             clone3(CLONE_PARENT, the rest)  ->  waits for `go`
//                        <-   `child` (its pid), exits
//  goes on as above with the child, which is its own child

namespace hull::jail {

enum class Message : char {
    // parent to child
    maps_done = 'm',   ///< to the middle process: the id maps are written
    go = 'g',          ///< the parent's share is done; with the descriptors it made
    hooks_done = 'h',  ///< prestart and createRuntime hooks have run
    created = 'k',     ///< wait in the fifo: all that must be known about us is saved
    start = 's',       ///< run the program
    // child to parent
    child = 'c',       ///< from the middle process: the pid of the child
    need_hooks = 'n',  ///< mounts are done, the root is not yet changed
    listener = 'f',    ///< the seccomp filter is being loaded: fetch its listener
    ready = 'r',       ///< set up; waits for its start
    log = 'l',         ///< a log record: level letter and text
    error = 'e',       ///< encode_error(); the child ends
};

/// The parent's end of the handshake.
class ParentEnd {
  public:
    explicit ParentEnd(Fd socket) : socket_(std::move(socket)) {}

    Result<void> send(Message message, std::span<const int> fds = {}) const;
    struct Received {
        Message message = Message::error;
        std::string text;
        bool is_end = false;  ///< the child closed its end: it runs its program, or it died
    };
    /// The next message; log records are written to our log on the way.
    /// @errors the child's own, when it sent one
    Result<Received> receive() const;
    /// Waits for exactly `expected`. @errors internal: something else came, or the child is gone
    Result<std::string> wait_for(Message expected) const;
    Fd take() && { return std::move(socket_); }
    void close() { socket_.reset(); }

  private:
    Fd socket_;
};

/// The child's end. All its verbs are for a process that is alone: a failure to talk means that the
/// parent is gone, and then the child ends too.
class ChildEnd {
  public:
    explicit ChildEnd(Fd socket) : socket_(std::move(socket)) {}

    Result<void> wait_for_maps() const;
    /// @return  the descriptors that the parent made for us.
    Result<std::vector<Fd>> wait_for_go() const;
    Result<void> ask_for_hooks() const;
    Result<void> send_child(pid_t pid) const;
    Result<void> send_listener() const;
    Result<void> send_ready() const;
    /// @errors cancelled: the parent went before it had saved what must be known about us
    Result<void> wait_for_created() const;
    /// @errors cancelled: the parent closed the channel without starting us
    Result<void> wait_for_start() const;
    void send_error(const Error& error) const;
    void send_log(log::Level level, std::string_view text) const;
    void close() { socket_.reset(); }
    int fd() const { return socket_.get(); }

  private:
    Result<void> send(Message message, std::string_view text = {}) const;
    Result<std::vector<Fd>> wait_for(Message expected) const;
    Fd socket_;
};

struct Channel {
    ParentEnd parent;
    ChildEnd child;
};
Result<Channel> create_channel();

}  // namespace hull::jail
