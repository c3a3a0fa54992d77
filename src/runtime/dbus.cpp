#include "runtime/dbus.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/text.hpp"

namespace hull::runtime {
namespace {

constexpr size_t kLargestMessage = 16U << 20U;
constexpr size_t kFixedHeader = 16;
constexpr int kCallTimeoutMs = 25000;
constexpr int kWakeIntervalMs = 100;

size_t aligned(size_t position, size_t boundary) {
    return (position + boundary - 1) / boundary * boundary;
}

enum HeaderField : uint8_t {
    path = 1,
    interface = 2,
    member = 3,
    error_name = 4,
    reply_serial = 5,
    destination = 6,
    sender = 7,
    signature = 8
};

uint32_t read_le32(std::string_view bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i)
        value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return value;
}

Errc errc_of(std::string_view name) {
    auto ends = [&](std::string_view tail) { return name.ends_with(tail); };
    if (ends(".UnitExists")) return Errc::exists;
    if (ends(".NoSuchUnit") || ends(".UnitNotFound") || ends(".ServiceUnknown") ||
        ends(".LoadFailed"))
        return Errc::not_found;
    if (ends(".AccessDenied") || ends(".InteractiveAuthorizationRequired") || ends(".AuthFailed"))
        return Errc::denied;
    if (ends(".InvalidArgs") || ends(".PropertyReadOnly") || ends(".UnknownProperty"))
        return Errc::invalid;
    return Errc::io;
}

}  // namespace

void DbusWriter::put_byte(uint8_t value) {
    bytes_.push_back(static_cast<char>(value));
}

void DbusWriter::put_int16(int16_t value) {
    align(2);
    const auto bits = static_cast<uint16_t>(value);
    bytes_.push_back(static_cast<char>(bits & 0xffU));
    bytes_.push_back(static_cast<char>(bits >> 8U));
}

void DbusWriter::put_uint32(uint32_t value) {
    align(4);
    for (unsigned i = 0; i < 4; ++i)
        bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
}

void DbusWriter::put_uint64(uint64_t value) {
    align(8);
    for (unsigned i = 0; i < 8; ++i)
        bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
}

void DbusWriter::put_double(double value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    put_uint64(bits);
}

void DbusWriter::put_string(std::string_view value) {
    put_uint32(static_cast<uint32_t>(value.size()));
    bytes_.append(value);
    bytes_.push_back('\0');
}

void DbusWriter::put_signature(std::string_view value) {
    put_byte(static_cast<uint8_t>(value.size()));
    bytes_.append(value);
    bytes_.push_back('\0');
}

void DbusWriter::align(size_t boundary) {
    bytes_.resize(aligned(bytes_.size(), boundary));
}

size_t DbusWriter::begin_array(size_t element_alignment) {
    put_uint32(0);
    const size_t length_at = bytes_.size() - 4;
    // The padding before the first element is not counted.
    align(element_alignment);
    arrays_.emplace_back(length_at, bytes_.size());
    return arrays_.size() - 1;
}

void DbusWriter::end_array(size_t token) {
    const auto [length_at, start] = arrays_[token];
    const auto length = static_cast<uint32_t>(bytes_.size() - start);
    for (unsigned i = 0; i < 4; ++i)
        bytes_[length_at + i] = static_cast<char>(length >> (8 * i) & 0xffU);
}

void DbusReader::skip(size_t count) {
    if (count > bytes_.size() - position_) {
        is_good_ = false;
        position_ = bytes_.size();
        return;
    }
    position_ += count;
}

void DbusReader::align(size_t boundary) {
    skip(aligned(position_, boundary) - position_);
}

uint8_t DbusReader::byte() {
    const size_t at = position_;
    skip(1);
    return is_good_ ? static_cast<uint8_t>(bytes_[at]) : uint8_t{0};
}

uint32_t DbusReader::uint32() {
    align(4);
    const size_t at = position_;
    skip(4);
    return is_good_ ? read_le32(bytes_, at) : 0;
}

uint64_t DbusReader::uint64() {
    align(8);
    const size_t at = position_;
    skip(8);
    if (!is_good_) return 0;
    return read_le32(bytes_, at) | static_cast<uint64_t>(read_le32(bytes_, at + 4)) << 32U;
}

std::string DbusReader::string() {
    const uint32_t size = uint32();
    const size_t at = position_;
    skip(size_t{size} + 1);
    return is_good_ ? std::string(bytes_.substr(at, size)) : std::string();
}

std::string DbusReader::signature() {
    const uint8_t size = byte();
    const size_t at = position_;
    skip(size_t{size} + 1);
    return is_good_ ? std::string(bytes_.substr(at, size)) : std::string();
}

std::string encode_dbus_message(const DbusMessage& message) {
    DbusWriter writer;
    writer.put_byte('l');
    writer.put_byte(static_cast<uint8_t>(message.type));
    writer.put_byte(0);
    writer.put_byte(1);
    writer.put_uint32(static_cast<uint32_t>(message.body.size()));
    writer.put_uint32(message.serial);
    const size_t fields = writer.begin_array(8);
    auto text = [&](HeaderField field, const char* type, const std::string& value) {
        if (value.empty()) return;
        writer.align(8);
        writer.put_byte(field);
        writer.put_signature(type);
        if (*type == 'g')
            writer.put_signature(value);
        else
            writer.put_string(value);
    };
    text(HeaderField::path, "o", message.path);
    text(HeaderField::interface, "s", message.interface);
    text(HeaderField::member, "s", message.member);
    text(HeaderField::error_name, "s", message.error_name);
    if (message.reply_serial != 0) {
        writer.align(8);
        writer.put_byte(HeaderField::reply_serial);
        writer.put_signature("u");
        writer.put_uint32(message.reply_serial);
    }
    text(HeaderField::destination, "s", message.destination);
    text(HeaderField::signature, "g", message.signature);
    writer.end_array(fields);
    writer.align(8);
    return writer.bytes() + message.body;
}

Result<size_t> dbus_message_size(std::string_view bytes) {
    if (bytes.size() < kFixedHeader) return size_t{0};
    if (bytes[0] != 'l' || bytes[3] != 1)
        return fail(Errc::corrupt, "D-Bus: not a little-endian message of version 1");
    const uint64_t size =
        aligned(kFixedHeader + uint64_t{read_le32(bytes, 12)}, 8) + uint64_t{read_le32(bytes, 4)};
    if (size > kLargestMessage) return fail(Errc::corrupt, "D-Bus: message over 16 MiB");
    return static_cast<size_t>(size);
}

Result<DbusMessage> decode_dbus_message(std::string_view bytes) {
    const size_t size = TRY(dbus_message_size(bytes));
    if (size == 0 || size > bytes.size()) return fail(Errc::corrupt, "D-Bus: message cut short");
    DbusMessage message;
    const auto type = static_cast<uint8_t>(bytes[1]);
    if (type < 1 || type > 4) return fail(Errc::corrupt, "D-Bus: unknown message type");
    message.type = static_cast<DbusMessage::Type>(type);
    message.serial = read_le32(bytes, 8);
    const size_t fields_end = kFixedHeader + read_le32(bytes, 12);
    DbusReader reader(bytes.substr(0, fields_end));
    reader.skip(kFixedHeader);
    while (reader.is_good() && !reader.at_end()) {
        reader.align(8);
        if (reader.at_end()) break;
        const uint8_t field = reader.byte();
        const std::string kind = reader.signature();
        if (kind == "u") {
            const uint32_t value = reader.uint32();
            if (field == HeaderField::reply_serial) message.reply_serial = value;
            continue;
        }
        if (kind != "s" && kind != "o" && kind != "g")
            return fail(Errc::corrupt, "D-Bus: unknown header field type " + quote(kind));
        std::string value = kind == "g" ? reader.signature() : reader.string();
        if (field == HeaderField::path)
            message.path = std::move(value);
        else if (field == HeaderField::interface)
            message.interface = std::move(value);
        else if (field == HeaderField::member)
            message.member = std::move(value);
        else if (field == HeaderField::error_name)
            message.error_name = std::move(value);
        else if (field == HeaderField::destination)
            message.destination = std::move(value);
        else if (field == HeaderField::signature)
            message.signature = std::move(value);
    }
    if (!reader.is_good()) return fail(Errc::corrupt, "D-Bus: header cut short");
    message.body = std::string(bytes.substr(aligned(fields_end, 8), size - aligned(fields_end, 8)));
    return message;
}

Result<DbusConnection> DbusConnection::open(const Address& address) {
    DbusConnection connection;
    connection.is_bus_ = address.is_bus;
    connection.socket_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!connection.socket_) return fail_errno(errno, "make a socket for D-Bus");
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (address.socket_path.size() >= sizeof name.sun_path)
        return fail(Errc::invalid, "D-Bus socket path is too long: " + address.socket_path);
    std::memcpy(name.sun_path, address.socket_path.data(), address.socket_path.size());
    if (connect(connection.socket_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) {
        const int code = errno;
        Error error =
            errno_error(code, "connect to " + address.socket_path, "is systemd running here?");
        if (code == ECONNREFUSED) error.code = Errc::not_found;
        return fail(std::move(error));
    }
    TRY(with_context(connection.authenticate(), "log in at " + address.socket_path));
    if (address.is_bus)
        TRY(connection.call({.path = "/org/freedesktop/DBus",
                             .interface = "org.freedesktop.DBus",
                             .member = "Hello",
                             .destination = "org.freedesktop.DBus"}));
    return connection;
}

/// EXTERNAL without a name: the peer takes the user from the socket, which is also right where this
/// process is in a user namespace and does not know its number outside.
Result<void> DbusConnection::authenticate() {
    TRY(write_all(socket_.get(), std::string_view("\0AUTH EXTERNAL\r\nDATA\r\n", 22)));
    std::string text;
    std::array<char, 256> buffer;
    while (text.find("OK ") == std::string::npos ||
           text.find("\r\n", text.find("OK ")) == std::string::npos) {
        if (text.find("REJECTED") != std::string::npos)
            return fail(Errc::denied, "D-Bus refuses this user: " + quote(trim(text)));
        pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, kCallTimeoutMs) <= 0)
            return fail(Errc::timeout, "D-Bus does not answer the login");
        const ssize_t got = ::read(socket_.get(), buffer.data(), buffer.size());
        if (got <= 0 || text.size() > 4096)
            return fail(Errc::denied, "D-Bus closed the connection at login");
        text.append(buffer.data(), static_cast<size_t>(got));
    }
    return write_all(socket_.get(), "BEGIN\r\n");
}

Result<DbusMessage> DbusConnection::receive(int timeout_ms) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    std::array<char, 8192> buffer;
    while (true) {
        if (const size_t size = TRY(dbus_message_size(received_));
            size > 0 && size <= received_.size()) {
            auto message = TRY(decode_dbus_message(received_));
            received_.erase(0, size);
            return message;
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return fail(Errc::timeout, "D-Bus: no answer in time");
        pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)
            return fail_errno(errno, "D-Bus: wait for an answer");
        if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
        const ssize_t got = ::read(socket_.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "D-Bus: read");
        if (got == 0) return fail(Errc::io, "D-Bus: the connection was closed");
        received_.append(buffer.data(), static_cast<size_t>(got));
    }
}

/// systemd's own socket forgets to look at a message that came in one piece with the login until
/// something else comes (seen with 252): so something else comes.
Result<DbusMessage> DbusConnection::receive_answer() {
    if (is_bus_) return receive(kCallTimeoutMs);
    for (int waited = 0; waited < kCallTimeoutMs; waited += kWakeIntervalMs) {
        auto message = receive(kWakeIntervalMs);
        if (message || message.error().code != Errc::timeout) return message;
        TRY(write_all(socket_.get(), encode_dbus_message({.serial = next_serial_++,
                                                          .path = "/",
                                                          .interface = "org.freedesktop.DBus.Peer",
                                                          .member = "Ping"})));
    }
    return fail(Errc::timeout, "D-Bus: no answer in time");
}

Result<DbusMessage> DbusConnection::call(DbusMessage message) {
    message.serial = next_serial_++;
    TRY(write_all(socket_.get(), encode_dbus_message(message)));
    while (true) {
        auto answer = TRY(with_context(receive_answer(), "call " + message.member));
        if (answer.type == DbusMessage::Type::signal) {
            signals_.push_back(std::move(answer));
            continue;
        }
        if (answer.reply_serial != message.serial) continue;
        if (answer.type == DbusMessage::Type::reply) return answer;
        if (answer.type != DbusMessage::Type::error) continue;
        std::string text;
        if (answer.signature.starts_with("s")) text = DbusReader(answer.body).string();
        return fail(errc_of(answer.error_name),
                    message.member + ": " + (text.empty() ? answer.error_name : text));
    }
}

Result<DbusMessage> DbusConnection::wait_signal(
    const std::function<bool(const DbusMessage&)>& wanted, int timeout_ms) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (true) {
        while (!signals_.empty()) {
            DbusMessage signal = std::move(signals_.front());
            signals_.pop_front();
            if (wanted(signal)) return signal;
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return fail(Errc::timeout, "D-Bus: the signal did not come in time");
        auto message = TRY(receive(static_cast<int>(left.count())));
        if (message.type == DbusMessage::Type::signal) signals_.push_back(std::move(message));
    }
}

}  // namespace hull::runtime
