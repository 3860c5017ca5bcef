// SPDX-License-Identifier: GPL-3.0-or-later
// Runs the real program under the offscreen platform and looks at the pictures it makes.
#include <gtest/gtest.h>
#include <QImage>
#include <QProcess>
#include <QSet>
#include <QTemporaryDir>

namespace {

struct Screenshot : ::testing::Test {
    int run(const QStringList& arguments)
    {
        const QString folder = qEnvironmentVariable("PENSTOCK_BIN_DIR");
        EXPECT_FALSE(folder.isEmpty()) << "PENSTOCK_BIN_DIR must name the folder of penstock-monitor";
        QProcess program;
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        environment.insert(QStringLiteral("QT_QPA_PLATFORM"), QStringLiteral("offscreen"));
        environment.insert(QStringLiteral("XDG_RUNTIME_DIR"), m_folder.path());
        environment.insert(QStringLiteral("HOME"), m_folder.path());
        environment.remove(QStringLiteral("PENSTOCK_SERVER"));
        program.setProcessEnvironment(environment);
        program.start(folder + QStringLiteral("/penstock-monitor"), arguments);
        EXPECT_TRUE(program.waitForFinished(60'000)) << "it did not end";
        m_errors = program.readAllStandardError();
        m_output = program.readAllStandardOutput();
        return program.exitStatus() == QProcess::NormalExit ? program.exitCode() : -1;
    }
    [[nodiscard]] QString picture() const { return m_folder.filePath(QStringLiteral("page.png")); }

    static qsizetype colours(const QImage& image)
    {
        QSet<QRgb> seen;
        for (int y = 0; y < image.height(); ++y) {
            for (int x = 0; x < image.width(); ++x)
                seen.insert(image.pixel(x, y));
        }
        return seen.size();
    }

    QTemporaryDir m_folder;
    QByteArray m_errors;
    QByteArray m_output;
};

TEST_F(Screenshot, EachPageIsDrawnInBothThemes)
{
    for (const char* theme : {"light", "dark"}) {
        for (const char* page : {"overview", "queue", "machines", "job"}) {
            const int code =
                run({QStringLiteral("--demo"), QStringLiteral("--page"), QString::fromLatin1(page),
                     QStringLiteral("--theme"), QString::fromLatin1(theme), QStringLiteral("--size"),
                     QStringLiteral("1000x700"), QStringLiteral("--after"), QStringLiteral("1.5"),
                     QStringLiteral("--screenshot"), picture()});
            ASSERT_EQ(code, 0) << page << ' ' << m_errors.toStdString();
            const QImage image(picture());
            EXPECT_EQ(image.size(), QSize(1000, 700)) << page;
            EXPECT_GT(colours(image), 100) << page << " in " << theme << " looks empty";
            const bool dark = qGray(image.pixel(990, 60)) < 128;
            EXPECT_EQ(dark, QLatin1String(theme) == QLatin1String("dark")) << page;
        }
    }
}

TEST_F(Screenshot, EachPartOfAPageIsDrawnInBothThemes)
{
    for (const char* theme : {"light", "dark"}) {
        for (const QStringList& part :
             {QStringList{QStringLiteral("--tab"), QStringLiteral("shares")},
              QStringList{QStringLiteral("--tab"), QStringLiteral("why")},
              QStringList{QStringLiteral("--page"), QStringLiteral("job"), QStringLiteral("--tab"),
                          QStringLiteral("why")},
              QStringList{QStringLiteral("--demo-fault"), QStringLiteral("paused")}}) {
            const int code =
                run(QStringList{QStringLiteral("--demo"), QStringLiteral("--theme"), QString::fromLatin1(theme),
                                QStringLiteral("--size"), QStringLiteral("1000x700"), QStringLiteral("--after"),
                                QStringLiteral("3.5"), QStringLiteral("--screenshot"), picture()} +
                    part);
            ASSERT_EQ(code, 0) << part.join(QLatin1Char(' ')).toStdString() << m_errors.toStdString();
            const QImage image(picture());
            EXPECT_EQ(image.size(), QSize(1000, 700)) << part.join(QLatin1Char(' ')).toStdString();
            EXPECT_GT(colours(image), 100) << part.join(QLatin1Char(' ')).toStdString() << " looks empty";
        }
    }
}

TEST_F(Screenshot, WorksWithoutAnyServer)
{
    ASSERT_EQ(run({QStringLiteral("--server"), QStringLiteral("ws://127.0.0.1:1"), QStringLiteral("--after"),
                   QStringLiteral("0.5"), QStringLiteral("--screenshot"), picture()}),
              0)
        << m_errors.toStdString();
    EXPECT_EQ(QImage(picture()).size(), QSize(1400, 900));
}

TEST_F(Screenshot, SaysWhenThePictureCannotBeWritten)
{
    EXPECT_EQ(run({QStringLiteral("--demo"), QStringLiteral("--after"), QStringLiteral("0"),
                   QStringLiteral("--screenshot"), m_folder.filePath(QStringLiteral("none/page.png"))}),
              1);
    EXPECT_TRUE(m_errors.contains("cannot write")) << m_errors.toStdString();
}

TEST_F(Screenshot, BadOptionsEndWithTwoAndASentence)
{
    EXPECT_EQ(run({QStringLiteral("--page"), QStringLiteral("nowhere")}), 2);
    EXPECT_TRUE(m_errors.contains("overview, queue")) << m_errors.toStdString();
    EXPECT_EQ(run({QStringLiteral("--tab"), QStringLiteral("nowhere")}), 2);
    EXPECT_TRUE(m_errors.contains("queues, shares, log, why")) << m_errors.toStdString();
    EXPECT_EQ(run({QStringLiteral("--token-file"), QStringLiteral("/none"), QStringLiteral("--screenshot"),
                   picture()}),
              2);
    EXPECT_EQ(run({QStringLiteral("--help")}), 0);
    EXPECT_TRUE(m_output.contains("--screenshot"));
    EXPECT_EQ(run({QStringLiteral("--version")}), 0);
    EXPECT_TRUE(m_output.startsWith("penstock-monitor "));
}

TEST_F(Screenshot, FiveHundredMachinesAreDrawn)
{
    ASSERT_EQ(run({QStringLiteral("--demo-machines"), QStringLiteral("500"), QStringLiteral("--page"),
                   QStringLiteral("machines"), QStringLiteral("--after"), QStringLiteral("4"),
                   QStringLiteral("--screenshot"), picture()}),
              0)
        << m_errors.toStdString();
    EXPECT_GT(colours(QImage(picture())), 100);
}

} // namespace
