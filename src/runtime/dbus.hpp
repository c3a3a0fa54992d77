#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

// As much of D-Bus as talking to systemd takes: calls, replies, errors and signals over a unix
// socket. D-Bus specification 0.40; sizes and alignments are "Marshaling".

namespace hull::runtime {

/// Writes values of the D-Bus wire format, little-endian. The caller keeps to the signature.
class DbusWriter {
  public:
    void put_byte(uint8_t value);
    void put_bool(bool value) { put_uint32(value ? 1 : 0); }
    void put_int16(int16_t value);
    void put_uint32(uint32_t value);
    void put_int32(int32_t value) { put_uint32(static_cast<uint32_t>(value)); }
    void put_uint64(uint64_t value);
    void put_double(double value);
    void put_string(std::string_view value);  ///< also an object path
    void put_signature(std::string_view value);
    void align(size_t boundary);
    /// @param element_alignment  8 for structs, 4 for strings, 1 for bytes …
    /// @return  what end_array() takes
    size_t begin_array(size_t element_alignment);
    void end_array(size_t token);

    const std::string& bytes() const { return bytes_; }

  private:
    std::string bytes_;
    std::vector<std::pair<size_t, size_t>> arrays_;
};

/// Reads the wire format. A value that is not there makes is_good() false; then zeros come.
class DbusReader {
  public:
    explicit DbusReader(std::string_view bytes) : bytes_(bytes) {}
    uint8_t byte();
    uint32_t uint32();
    uint64_t uint64();
    std::string string();
    std::string signature();
    void align(size_t boundary);
    void skip(size_t count);
    bool is_good() const { return is_good_; }
    size_t position() const { return position_; }
    bool at_end() const { return position_ >= bytes_.size(); }

  private:
    std::string_view bytes_;
    size_t position_ = 0;
    bool is_good_ = true;
};

struct DbusMessage {
    enum class Type : uint8_t { call = 1, reply = 2, error = 3, signal = 4 };
    Type type = Type::call;
    uint32_t serial = 0;
    uint32_t reply_serial = 0;
    std::string path;
    std::string interface;
    std::string member;
    std::string error_name;
    std::string destination;
    std::string signature;
    std::string body;
};
std::string encode_dbus_message(const DbusMessage& message);
/// Bytes that the message at the start of `bytes` takes; 0: more are needed to know.
/// @errors corrupt: not a message, or over 16 MiB
Result<size_t> dbus_message_size(std::string_view bytes);
/// @errors corrupt
Result<DbusMessage> decode_dbus_message(std::string_view bytes);

/// A connection to a bus, or to systemd's own socket.
class DbusConnection {
  public:
    struct Address {
        std::string socket_path;
        bool is_bus = true;  ///< false: a peer without a bus between (/run/systemd/private)
    };
    /// @errors not_found: no such socket; denied: the bus refuses this user
    static Result<DbusConnection> open(const Address& address);

    /// Calls a method and waits at most 25 s for its answer. Signals that come meanwhile are kept.
    /// @errors by the D-Bus error's name: exists, not_found, invalid, denied, else io
    Result<DbusMessage> call(DbusMessage message);
    /// The next signal that `wanted` takes, also of those kept.
    /// @errors timeout
    Result<DbusMessage> wait_signal(const std::function<bool(const DbusMessage&)>& wanted,
                                    int timeout_ms);

  private:
    Result<void> authenticate();
    Result<DbusMessage> receive(int timeout_ms);
    Result<DbusMessage> receive_answer();

    Fd socket_;
    std::string received_;
    std::deque<DbusMessage> signals_;
    uint32_t next_serial_ = 1;
    bool is_bus_ = true;
};

}  // namespace hull::runtime
