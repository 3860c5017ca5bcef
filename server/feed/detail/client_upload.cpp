// SPDX-License-Identifier: GPL-3.0-or-later
// The uploads of a Client: a derivation closure in parts, then its submission.
#include "server/feed/detail/client.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::feed {
namespace {

constexpr std::size_t kUploadsTogether = 2; // times what one may hold, for all connections

} // namespace

void Client::dropUpload()
{
    if (m_upload && m_upload->assembler)
        m_environment.uploadBytes -= m_upload->assembler->bytes();
    m_upload.reset();
}

void Client::onBuildPart(const monitor::BuildPart& part)
{
    if (m_upload && m_upload->number != part.upload())
        return problem(part.upload(),
                       {ErrorCode::Exhausted, fmt::format("upload {} is not complete yet; send one build "
                                                          "at a time",
                                                          m_upload->number)});
    if (!m_upload) {
        auto dir = nix::StoreDir::parse(m_environment.options.storeDir);
        if (!dir)
            return problem(part.upload(), dir.error());
        m_upload.emplace(
            Upload{part.upload(), jobs::BuildAssembler(*dir, m_environment.options.maxUploadBytes), {}});
    }
    m_upload->lastPart = now().mono;
    for (const auto& derivation : part.derivations()) {
        if (!m_upload->assembler)
            break;
        const auto before = m_upload->assembler->bytes();
        Result<void> added = m_upload->assembler->add(derivation.path(), derivation.text());
        m_environment.uploadBytes += m_upload->assembler->bytes() - before;
        if (added && m_environment.uploadBytes > kUploadsTogether * m_environment.options.maxUploadBytes)
            added = fail(ErrorCode::Exhausted,
                         "too many builds are being sent to this server at once; try again later");
        if (!added) {
            problem(part.upload(), added.error());
            m_environment.uploadBytes -= m_upload->assembler->bytes();
            m_upload->assembler.reset(); // the parts that are on their way are read and dropped
        }
    }
    if (part.last())
        finishUpload(part);
}

void Client::finishUpload(const monitor::BuildPart& part)
{
    auto assembler = std::move(m_upload->assembler);
    if (assembler)
        m_environment.uploadBytes -= assembler->bytes();
    m_upload.reset();
    if (!assembler)
        return; // the refusal was told already
    BuildSubmission build{*std::move(assembler),
                                {part.roots().begin(), part.roots().end()},
                                part.job_json(),
                                {m_user, {}}};
    m_environment.source.submitBuild(std::move(build), [this, alive = std::weak_ptr(m_alive),
                                                        number = part.upload()](Result<BuildReceipt> receipt) {
        if (!alive.lock())
            return;
        if (!receipt)
            return problem(number, receipt.error());
        monitor::FeedMessage message;
        auto& accepted = *message.mutable_build_accepted();
        accepted.set_upload(number);
        accepted.set_job_id(receipt->job.value());
        accepted.set_steps(receipt->steps);
        accepted.set_needless(receipt->needless);
        accepted.set_note(receipt->note);
        send(message);
    });
}

} // namespace penstock::feed
